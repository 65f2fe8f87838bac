"""Judge a result: its artifacts against budgets, and against a baseline."""

from collections.abc import Mapping
from pathlib import Path

from export.errors import UsageError
from validate.counts import Counts
from validate.gating.budgets import judge_budgets, read_budgets
from validate.gating.counts_file import read_confusions
from validate.gating.judgement import check_choice
from validate.gating.kinds import KINDS, option
from validate.gating.regression import Tolerance, check_miou, judge_baseline
from validate.gating.verdict import Verdict
from validate.result import CONFUSION_FILE, Result

DEFAULT_TOLERANCE = 0.2
"""Points of mIoU an artifact may fall behind its baseline entry."""


def gate(
    result: Result,
    *,
    folder: Path | None = None,
    baseline: Path | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
    class_tolerance: float | None = None,
    on_inconclusive: str | None = None,
    **budgets: Mapping[str, float | str] | None,
) -> list[Verdict]:
    """Judge every budgeted artifact, and every artifact against the baseline.

    `budgets` are those of `KINDS`, such as `max_drop={"int8": 0.5}`, by artifact id or
    precision (then: every artifact of it but the reference), `max_class_drop` by class or
    "id:class". `folder` holds the result's confusion.npz, from which a change against the
    baseline gets its interval. `on_inconclusive` "pass" or "fail" decides when a 95 % interval
    straddles its limit; None judges by the point estimate. Raises UsageError for wrong budgets
    and where there is neither budget nor baseline, DataError for files that cannot be read.
    """
    asked = read_budgets(budgets)
    if not asked and baseline is None:
        raise UsageError(f"gate: no budget; give {_options()} ID=X or --baseline FILE")
    check_choice(on_inconclusive)
    for name, points in (("tolerance", tolerance), ("class_tolerance", class_tolerance)):
        if points is not None and not 0 <= points < float("inf"):
            raise UsageError(f"{option(name)} {points}: give points of IoU, 0 or more")
    verdicts = judge_budgets(result, asked, on_inconclusive)
    if baseline is not None:
        allowed = Tolerance(tolerance, class_tolerance)
        counts = result_counts(result, folder)
        verdicts += judge_baseline(result, baseline, counts, allowed, on_inconclusive)
    return verdicts


def result_counts(result: Result, folder: Path | None) -> dict[str, Counts]:
    """Return the per-image counts of a result's artifacts, none where there is no confusion.npz.

    Raises DataError for a confusion.npz that is damaged or belongs to another result.
    """
    if folder is None or not (folder / CONFUSION_FILE).exists():
        return {}
    path = folder / CONFUSION_FILE
    found = read_confusions(path)
    for artifact in result.artifacts:
        if artifact.id in found:
            check_miou(found[artifact.id], artifact.miou, f"{path}, {artifact.id}")
    return {a.id: found[a.id] for a in result.artifacts if a.id in found}


def _options() -> str:
    return option(next(iter(KINDS)))
