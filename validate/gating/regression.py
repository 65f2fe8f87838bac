"""A result against the baseline."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.errors import DataError
from validate.counts import Counts, counts_miou
from validate.gating.baseline import BaselineEntry, Key, key_of, load_baseline
from validate.gating.budgets import broken
from validate.gating.counts_file import read_counts
from validate.gating.environment import environment_warning
from validate.gating.judgement import Reading, judge
from validate.gating.verdict import Outcome, Verdict
from validate.intervals import class_figures
from validate.label_set import LabelSet
from validate.result import ArtifactResult, Result

CHECK = "baseline"
CLASS_CHECK = "baseline classes"


@dataclass(frozen=True)
class Tolerance:
    """Points of mIoU, and of any class's IoU (None: not judged), that may be lost."""

    miou: float
    class_iou: float | None = None


def judge_baseline(
    result: Result,
    baseline: Path,
    counts: Mapping[str, Counts],
    tolerance: Tolerance,
    on_inconclusive: str | None,
) -> list[Verdict]:
    """Judge every artifact by its entry; warn once when the environment is another.

    `counts` of the result by artifact id, where it has them: with those of the entry they give
    the change's interval. Raises DataError for a baseline or its counts that cannot be read.
    """
    entries = {entry.key: entry for entry in load_baseline(baseline).entries}
    verdicts: list[Verdict] = []
    for artifact in result.artifacts:
        entry = entries.get(key_of(result, artifact.id))
        if entry is None:
            reason = _no_entry(result, artifact.id, entries)
            verdicts.append(Verdict(artifact.id, Outcome.UNKNOWN, reason, CHECK))
            continue
        before = _counts_of(entry, baseline)
        pair = (
            (before, counts[artifact.id]) if before is not None and artifact.id in counts else None
        )
        labels = _other_labels(result, entry, pair, baseline.name)
        verdicts.append(
            _refused(artifact, labels, CHECK)
            or _judge_miou(artifact, entry, pair, tolerance.miou, on_inconclusive)
        )
        if tolerance.class_iou is not None:
            verdicts.append(
                _refused(artifact, labels, CLASS_CHECK)
                or _judge_classes(artifact, entry, tolerance.class_iou)
            )
    warning = environment_warning(result, entries, baseline.name)
    return [*verdicts, warning] if warning else verdicts


def _refused(artifact: ArtifactResult, other_labels: str | None, check: str) -> Verdict | None:
    """Return what is said instead of a comparison, or None where there can be one."""
    if failure := broken(artifact, check):
        return failure
    if other_labels:
        return Verdict(artifact.id, Outcome.UNKNOWN, other_labels, check)
    return None


def _other_labels(
    result: Result, entry: BaselineEntry, pair: tuple[Counts, Counts] | None, file: str
) -> str | None:
    """Return how the labels differ from those of the entry, None where nothing says so.

    An entry of an earlier version does not say which masks it had: then the pixels of each
    class in each image tell, where both sides have them.
    """
    ours = LabelSet.of(result.dataset)
    if not ours.differs(entry.label_set):
        if pair is None or _same_labels(*pair):
            return None
        if ours == entry.label_set and ours.sha256:
            size = "x".join(map(str, result.shape[1:]))
            return (
                f"the masks are those of {file}, but not their pixels: the result has them at "
                f"{size}, the baseline at another size; renew the entry with --update-baseline"
            )
    return (
        f"not the labels of the baseline, though image ids are the same: the result has {ours}, "
        f"{file} has {entry.label_set}; validate on the same masks, or renew the entry with "
        "--update-baseline"
    )


def _judge_miou(
    artifact: ArtifactResult,
    entry: BaselineEntry,
    pair: tuple[Counts, Counts] | None,
    tolerance: float,
    on_inconclusive: str | None,
) -> Verdict:
    noun, now, before = "mIoU", artifact.miou, entry.miou
    if now is None and before is None:  # no labels, so the reference's classes stand for them
        noun, now, before = "fidelity mIoU", artifact.fidelity_miou, entry.fidelity_miou
        pair = None  # counts are of labels
    if now is None or before is None:
        where = "the baseline" if now is not None else "the result"
        return Verdict(artifact.id, Outcome.UNKNOWN, f"no {noun} in {where}", CHECK)
    change = Reading(now - before, _interval(*pair) if pair is not None else None)
    judged = judge(change, -tolerance, at_most=False, on_inconclusive=on_inconclusive, no_change=0)
    return Verdict(
        artifact.id,
        judged.outcome,
        f"{noun} {now:.3f} is {change.value:+.3f} against the baseline, "
        f"tolerance {tolerance:g}{judged.remark}",
        CHECK,
        change.value,
        -tolerance,
        change.interval,
        judged.inconclusive,
    )


def _judge_classes(artifact: ArtifactResult, entry: BaselineEntry, tolerance: float) -> Verdict:
    changes = {
        name: now - before
        for name, before in (entry.class_iou or {}).items()
        if (now := artifact.class_iou.get(name)) is not None
    }
    if not changes:
        return Verdict(artifact.id, Outcome.UNKNOWN, "no class IoU in the baseline", CLASS_CHECK)
    worst = min(changes, key=changes.__getitem__)
    change = changes[worst]
    judged = judge(Reading(change), -tolerance, at_most=False)
    reason = (
        f"worst class {worst}: IoU is {change:+.3f} against the baseline, tolerance {tolerance:g}"
    )
    return Verdict(artifact.id, judged.outcome, reason, CLASS_CHECK, change, -tolerance)


def _counts_of(entry: BaselineEntry, baseline: Path) -> Counts | None:
    if entry.counts is None:
        return None
    path = baseline.parent / entry.counts.file
    counts = read_counts(path, entry.counts.sha256)
    check_miou(counts, entry.miou, f"baseline counts {path}")
    return counts


def check_miou(counts: Counts, miou: float | None, where: str) -> None:
    """Raise DataError unless counts add up to the mIoU (percent) they are said to belong to."""
    found = counts_miou(counts)
    if found is None and miou is None:  # masks without a single labelled pixel
        return
    if found is None or miou is None or not np.isclose(found, miou, rtol=0, atol=1e-6):
        raise DataError(f"{where}: adds up to mIoU {found}, not to the {miou} that it belongs to")


def _interval(before: Counts, now: Counts) -> tuple[float, float] | None:
    """Return the 95 % interval of the change in mIoU, paired by image."""
    if np.array_equal(before, now):  # as fp32 is in most runs: nothing to resample
        return 0.0, 0.0
    figures = class_figures({"before": before, "now": now})
    return (figures["now"] - figures["before"]).mean().interval()


def _same_labels(before: Counts, now: Counts) -> bool:
    return before.shape == now.shape and np.array_equal(before[:, 1], now[:, 1])


def _no_entry(result: Result, id: str, entries: Mapping[Key, BaselineEntry]) -> str:
    others = sorted(
        f"{protocol} on images {ids_sha256[:12]}"
        for name, protocol, ids_sha256, entry_id in entries
        if (name, entry_id) == (result.name, id)
    )
    there = f"; there: {', '.join(others)}" if others else ""
    wanted = f"{result.protocol} on images {result.dataset.ids_sha256[:12]}"
    return f"no entry in the baseline for {result.name}, {wanted}{there}"
