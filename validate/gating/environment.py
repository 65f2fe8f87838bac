"""Where two results were made, as far as the same file may give other numbers there."""

from collections.abc import Mapping, Sequence
from typing import Any

from validate.gating.baseline import BaselineEntry, Key, key_of
from validate.gating.verdict import Outcome, Verdict
from validate.result import ArtifactResult, Result

_SOFTWARE = (
    "onnxruntime", "onnxruntime-gpu", "openvino", "torch", "torchvision", "pillow", "segport",
)  # fmt: skip
"""What computes, decodes and resizes. A new numpy counts the same pixels."""
_RUNTIMES = frozenset({"openvino"})
"""Software that computes in the runtime of its name only; beside others it is of no account."""


def environment_warning(
    result: Result, entries: Mapping[Key, BaselineEntry], file: str
) -> Verdict | None:
    """Return one warning that names what differs from where the baseline was made, or None."""
    changes: dict[str, None] = {}
    for artifact in result.artifacts:
        entry = entries.get(key_of(result, artifact.id))
        if entry is not None:
            changes |= dict.fromkeys(_changes(entry, artifact, result.environment))
    if not changes:
        return None
    reason = f"not that of {file}: {', '.join(changes)}; int8 may differ by rounding"
    return Verdict("environment", Outcome.WARN, reason, "environment")


def _changes(
    entry: BaselineEntry, artifact: ArtifactResult, environment: Mapping[str, Any]
) -> list[str]:
    """Return "what before -> now" for everything that matters and differs."""
    runtimes = (entry.runtime, artifact.runtime)
    before, now = _facts(entry.environment, runtimes), _facts(environment, runtimes)
    if entry.runtime is not None:  # entries of earlier versions do not say
        before |= {f"runtime of {artifact.id}": f"{entry.runtime} ({entry.provider})"}
        now |= {f"runtime of {artifact.id}": f"{artifact.runtime} ({artifact.provider})"}
    return [
        f"{name} {before.get(name, 'none')} -> {now.get(name, 'none')}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]


def _facts(environment: Mapping[str, Any], runtimes: Sequence[str | None]) -> dict[str, str]:
    versions = environment.get("versions", {})
    settings = environment.get("session_settings", {})
    return {
        **{
            name: str(versions[name])
            for name in _SOFTWARE
            if name in versions and (name not in _RUNTIMES or name in runtimes)
        },
        "instruction sets": " ".join(environment.get("isa", [])) or "none",
        "machine": str(environment.get("machine")),
        "threads": str(environment.get("threads")),
        "session settings": " ".join(f"{k}={v}" for k, v in sorted(settings.items())) or "none",
    }
