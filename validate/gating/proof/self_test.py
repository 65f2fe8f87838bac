"""A negative control: plant regressions into copies of a result, and see that the gate fails them.

A copy goes the whole way that a result goes: written to a folder, read, counted and judged.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from export.common.errors import DataError
from export.common.files import scratch_folder
from validate.gating.baseline.acceptance import update_baseline
from validate.gating.baseline.against_baseline import judge_baseline
from validate.gating.baseline.baseline import key_of, load_baseline
from validate.gating.counted import Counted, count
from validate.gating.decision import ROUNDING
from validate.gating.proof.plants import PLANTS, Matrices
from validate.gating.rules import Rules
from validate.gating.verdict import Outcome, Verdict
from validate.judging.comparison import write_result
from validate.judging.figures import figures
from validate.metrics.metrics import miou
from validate.result.evidence import Evidence
from validate.result.result import RESULT_FILE, ArtifactResult, Result, load_result

SIZES = (0.5, 1.5, 2.0, 5.0, 10.0)
"""Losses of mIoU to plant, in tolerances."""
_RESAMPLES = 100
"""For intervals that decide nothing."""
_HALVINGS = 25


@dataclass(frozen=True)
class Trial:
    """One planted regression: points of mIoU lost against the baseline, and what the gate said.

    `caught` is its verdict; `slipped` that it passed more than was allowed.
    """

    name: str
    id: str
    plant: str
    lost: float
    allowed: float
    caught: bool
    slipped: bool
    reason: str


def self_test(
    counted: Counted, baseline: Path | None, rules: Rules, *, seed: int = 0
) -> list[Trial]:
    """Plant every kind and size of regression into every artifact, one at a time.

    Judged by the entries of `baseline`, or without one by the result itself. Raises DataError
    for a result without counts.
    """
    if not counted.evidence or not all(one.complete for one in counted.evidence.values()):
        raise DataError(
            "self-test: needs all counts beside the result; 'segport validate' makes them"
        )
    with scratch_folder() as scratch:
        own = baseline
        if own is None:
            own = scratch / "baseline.json"
            update_baseline([replace(counted, verdicts=())], own, "the result itself")
        return [
            trial
            for artifact in counted.result.artifacts
            if artifact.id != counted.result.reference
            for trial in _trials(counted, artifact, own, rules, scratch / "planted", seed)
        ]


def _trials(
    counted: Counted,
    artifact: ArtifactResult,
    baseline: Path,
    rules: Rules,
    folder: Path,
    seed: int,
) -> Iterator[Trial]:
    before = _accepted_miou(counted.result, artifact, baseline)
    for name in PLANTS:
        for size in SIZES:
            planted = planted_evidence(
                counted.evidence[artifact.id], name, size * rules.tolerance, seed
            )
            now = judged_miou(planted)
            verdict = judge_copy(counted, artifact.id, planted, baseline, rules, folder)
            lost = before - now
            allowed = rules.tolerance if verdict.limit is None else -verdict.limit
            caught = verdict.outcome is Outcome.FAIL
            slipped = lost > allowed + ROUNDING and not caught
            yield Trial(
                counted.result.name, artifact.id, name, lost, allowed, caught, slipped,
                verdict.reason,
            )  # fmt: skip


def planted_evidence(evidence: Evidence, plant: str, points: float, seed: int) -> Evidence:
    """Return evidence whose judged mIoU is `points` lower, or as much as the plant can take."""

    def at(strength: float) -> Evidence:
        return replace(
            evidence,
            labels=_planted(evidence.labels, plant, strength, seed),
            against=_planted(evidence.against, plant, strength, seed),
        )

    wanted, low, high = judged_miou(evidence) - points, 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if judged_miou(at(middle)) > wanted else (low, middle)
    return at(high)


def judged_miou(evidence: Evidence) -> float:
    """Return mIoU, or without labels fidelity mIoU, counted from the matrices, percent."""
    matrices = evidence.against if evidence.labels is None else evidence.labels
    counted_miou = None if matrices is None else miou(matrices.sum(0))
    if counted_miou is None:
        raise DataError("self-test: no labelled pixel, so no mIoU that could be lost")
    return counted_miou


def judge_copy(
    counted: Counted, id: str, planted: Evidence, baseline: Path, rules: Rules, folder: Path
) -> Verdict:
    """Write a copy of the result with planted evidence of one artifact; return its verdict."""
    evidence = {**counted.evidence, id: planted}
    write_result(_copy(counted, evidence), evidence, counted.images, folder)
    copy = count(load_result(folder / RESULT_FILE), folder, rules)
    present = {key_of(copy.result, a) for a in copy.result.artifacts}
    return next(v for v in judge_baseline(copy, baseline, rules, present) if v.id == id)


def _copy(counted: Counted, evidence: Mapping[str, Evidence]) -> Result:
    """Return the result with the figures of other evidence."""
    result = counted.result
    recounted = figures(
        evidence, result.reference, result.class_names, counted.images, resamples=_RESAMPLES
    )
    used = result.bootstrap and result.bootstrap.model_copy(update={"resamples": _RESAMPLES})
    artifacts = [a.model_copy(update=dict(recounted[a.id])) for a in result.artifacts]
    return result.model_copy(update={"artifacts": artifacts, "bootstrap": used})


def _planted(matrices: Matrices | None, plant: str, strength: float, seed: int) -> Matrices | None:
    """Plant with the same choices at every strength, so that more strength loses more."""
    if matrices is None:
        return None
    return PLANTS[plant](matrices, strength, np.random.default_rng(seed))


def _accepted_miou(result: Result, artifact: ArtifactResult, baseline: Path) -> float:
    entry = load_baseline(baseline).find(key_of(result, artifact))
    if entry is None:
        raise DataError(f"self-test: {baseline} has no entry for {result.name} {artifact.id}")
    accepted = entry.last.fidelity_miou if entry.last.miou is None else entry.last.miou
    if accepted is None:
        raise DataError(f"self-test: {baseline} has no mIoU for {result.name} {artifact.id}")
    return accepted
