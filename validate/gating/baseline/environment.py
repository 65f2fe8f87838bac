"""Where two results were made, as far as the same file may give other numbers there."""

from collections.abc import Mapping
from typing import Any

from validate.gating.baseline.baseline import Acceptance, Baseline, key_of
from validate.gating.verdict import Outcome, Verdict
from validate.result.machine import machine_of
from validate.result.result import ArtifactResult, Result

_SOFTWARE = (
    "onnxruntime", "onnxruntime-gpu", "openvino", "torch", "torchvision", "pillow", "segport",
)  # fmt: skip
"""What computes, decodes and resizes. A new numpy counts the same pixels."""
_RUNTIMES = frozenset({"openvino"})
"""Software that computes in the runtime of its name only; beside others it is of no account."""


def environment_warning(result: Result, baseline: Baseline, file: str) -> Verdict | None:
    """Return one warning that names what differs from where the baseline was made, or None."""
    changes: dict[str, None] = {}
    for artifact in result.artifacts:
        entry = baseline.find(key_of(result, artifact))
        if entry is not None:
            changes |= dict.fromkeys(_changes(entry.last, artifact, result.environment))
    if not changes:
        return None
    reason = f"not that of {file}: {', '.join(changes)}; int8 may differ by rounding"
    return Verdict("environment", Outcome.WARN, reason, "environment")


def _changes(
    before: Acceptance, artifact: ArtifactResult, environment: Mapping[str, Any]
) -> list[str]:
    """Return "what before -> now" for everything that matters and differs."""
    there, here = (_facts(one, artifact.runtime) for one in (before.environment, environment))
    if before.provider is not None:  # entries of earlier versions do not say
        there |= {f"provider of {artifact.id}": before.provider}
        here |= {f"provider of {artifact.id}": artifact.provider}
    return [
        f"{name} {there.get(name, 'none')} -> {here.get(name, 'none')}"
        for name in dict.fromkeys([*there, *here])
        if there.get(name) != here.get(name)
    ]


def _facts(environment: Mapping[str, Any], runtime: str) -> dict[str, str]:
    isa, versions, settings = machine_of(environment)
    return {
        **{
            name: str(versions[name])
            for name in _SOFTWARE
            if name in versions and (name not in _RUNTIMES or name == runtime)
        },
        "instruction sets": " ".join(isa) or "none",
        "machine": str(environment.get("machine")),
        "threads": str(environment.get("threads")),
        "session settings": " ".join(f"{k}={v}" for k, v in sorted(settings.items())) or "none",
    }
