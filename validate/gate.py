"""Pass, regression, or cannot tell: a result against budgets and a baseline.

Exit codes: 0 pass, 1 regression, 2 cannot tell. A found regression outweighs what cannot
be told.
"""

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from export.errors import DataError, UsageError
from export.files import new_files
from validate.result import ArtifactResult, Result

DEFAULT_TOLERANCE = 0.2
"""Points of mIoU an artifact may fall behind its baseline entry."""
_ROUNDING = 1e-9


class Outcome(StrEnum):
    """What the gate says of one artifact."""

    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True)
class Verdict:
    """One line of the gate: which artifact (or budget), what, and why."""

    id: str
    outcome: Outcome
    reason: str


class BaselineEntry(BaseModel):
    """What one artifact reached when the baseline was made."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str
    protocol: str
    ids_sha256: str
    id: str
    miou: float | None
    drop: float | None
    agreement: float
    environment: dict[str, Any]

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What identifies an entry."""
        return self.name, self.protocol, self.ids_sha256, self.id


class Baseline(BaseModel):
    """A committed file of entries, sorted by key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    entries: list[BaselineEntry]


def gate(
    result: Result,
    *,
    max_drop: Mapping[str, float] | None = None,
    baseline: Path | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
    on_inconclusive: str | None = None,
) -> list[Verdict]:
    """Judge every budgeted artifact, and every artifact against the baseline.

    `max_drop` maps an artifact id or a precision (then: every artifact of it but the
    reference) to points of mIoU. `on_inconclusive` "pass" or "fail" decides when the 95 %
    interval of a drop straddles its budget; None judges by the point estimate. Raises
    UsageError when there is neither budget nor baseline.
    """
    if not max_drop and baseline is None:
        raise UsageError("gate: no budget; give --max-drop ID=X or --baseline FILE")
    if on_inconclusive not in (None, "pass", "fail"):
        raise UsageError(f"--on-inconclusive {on_inconclusive}: give pass or fail")
    if not 0 <= tolerance < float("inf"):
        raise UsageError(f"--tolerance {tolerance}: give points of mIoU, 0 or more")
    verdicts = []
    budgets = max_drop or {}
    for name, budget in budgets.items():
        # an id's own budget goes before that of its precision
        elsewhere = budgets.keys() - {name}
        verdicts += _judge_budget(result, name, budget, elsewhere, on_inconclusive)
    if baseline is not None:
        entries = {entry.key: entry for entry in load_baseline(baseline).entries}
        verdicts += [_judge_baseline(result, a, entries, tolerance) for a in result.artifacts]
    return verdicts


def exit_code(verdicts: list[Verdict]) -> int:
    """Return 1 if any artifact regressed, else 2 if any cannot be told, else 0."""
    outcomes = {verdict.outcome for verdict in verdicts}
    if Outcome.FAIL in outcomes:
        return 1
    return 2 if Outcome.UNKNOWN in outcomes or not outcomes else 0


def judge_drop(
    drop: float, interval: tuple[float, float] | None, budget: float, on_inconclusive: str | None
) -> tuple[Outcome, str]:
    """Compare a drop, with its 95 % interval if there is one, with a budget. Pure.

    Passes when the interval's upper end is inside the budget, fails when its lower end is
    outside; in between `on_inconclusive` decides, or without it the point estimate.
    """
    inside = drop <= budget + _ROUNDING
    by_point = Outcome.PASS if inside else Outcome.FAIL
    text = f"drop {drop:+.3f} {'is within' if inside else 'exceeds'} {budget:g}"
    if interval is None:
        return by_point, text
    low, high = interval
    spread = f"95 % interval {low:+.3f} to {high:+.3f}"
    if high <= budget + _ROUNDING:
        return Outcome.PASS, f"drop {drop:+.3f} is within {budget:g} ({spread})"
    if low > budget + _ROUNDING:
        return Outcome.FAIL, f"drop {drop:+.3f} exceeds {budget:g} ({spread})"
    if on_inconclusive is None:
        return by_point, f"{text}; inconclusive ({spread}), judged by the point estimate"
    chosen = Outcome.PASS if on_inconclusive == "pass" else Outcome.FAIL
    return chosen, f"{text}; inconclusive ({spread}), --on-inconclusive {on_inconclusive}"


def _judge_budget(
    result: Result, name: str, budget: float, elsewhere: Set[str], on_inconclusive: str | None
) -> list[Verdict]:
    judged = [a for a in result.artifacts if a.id != result.reference]
    found = [a for a in judged if name in (a.id, a.precision) and a.id not in elsewhere]
    if not found:
        known = ", ".join(a.id for a in judged)
        if name == result.reference:
            return [Verdict(name, Outcome.UNKNOWN, "is the reference itself, it has no drop")]
        return [Verdict(name, Outcome.UNKNOWN, f"not in the result; there: {known or 'nothing'}")]
    return [_judge(artifact, budget, on_inconclusive) for artifact in found]


def _judge(artifact: ArtifactResult, budget: float, on_inconclusive: str | None) -> Verdict:
    if artifact.nonfinite_images:
        reason = f"inf or NaN in the logits of {artifact.nonfinite_images} images"
        return Verdict(artifact.id, Outcome.FAIL, reason)
    if artifact.drop is None:
        return Verdict(artifact.id, Outcome.UNKNOWN, "no drop: the images have no labels")
    outcome, reason = judge_drop(artifact.drop, artifact.drop_ci95, budget, on_inconclusive)
    return Verdict(artifact.id, outcome, reason)


def _judge_baseline(
    result: Result,
    artifact: ArtifactResult,
    entries: Mapping[tuple[str, str, str, str], BaselineEntry],
    tolerance: float,
) -> Verdict:
    key = (result.name, result.protocol, result.dataset.ids_sha256, artifact.id)
    entry = entries.get(key)
    if entry is None:
        where = f"{result.name}, {result.protocol}, this image list"
        return Verdict(artifact.id, Outcome.UNKNOWN, f"no entry in the baseline for {where}")
    if artifact.nonfinite_images:
        reason = f"inf or NaN in the logits of {artifact.nonfinite_images} images"
        return Verdict(artifact.id, Outcome.FAIL, reason)
    if artifact.miou is None or entry.miou is None:
        return Verdict(artifact.id, Outcome.UNKNOWN, "no mIoU: the images have no labels")
    change = artifact.miou - entry.miou
    kept = change >= -tolerance - _ROUNDING
    text = (
        f"mIoU {artifact.miou:.3f} is {change:+.3f} against the baseline, tolerance {tolerance:g}"
    )
    return Verdict(artifact.id, Outcome.PASS if kept else Outcome.FAIL, text)


def load_baseline(path: Path) -> Baseline:
    """Read a baseline; raise DataError when it is missing or damaged."""
    try:
        return Baseline.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(
            f"baseline {path}: cannot read ({error.strerror}); "
            "'segport gate RESULT.json --baseline FILE --update-baseline' makes it"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise DataError(f"baseline {path}: damaged ({where}: {first['msg']})") from error


def update_baseline(result: Result, path: Path) -> Baseline:
    """Put the result's artifacts into the baseline, replacing entries of the same key."""
    old = load_baseline(path).entries if path.exists() else []
    new = [
        BaselineEntry(
            name=result.name,
            protocol=result.protocol,
            ids_sha256=result.dataset.ids_sha256,
            id=artifact.id,
            miou=artifact.miou,
            drop=artifact.drop,
            agreement=artifact.agreement,
            environment=result.environment,
        )
        for artifact in result.artifacts
    ]
    merged = {entry.key: entry for entry in [*old, *new]}
    baseline = Baseline(entries=[merged[key] for key in sorted(merged)])
    with new_files(path) as (temporary,):
        text = json.dumps(baseline.model_dump(mode="json"), indent=1, sort_keys=True)
        temporary.write_text(text + "\n")
    return baseline
