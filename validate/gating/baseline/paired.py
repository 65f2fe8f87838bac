"""A result against a baseline entry of the same images and labels: the change is a fact."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import comb

import numpy as np

from validate.gating.baseline.baseline import Acceptance, BaselineEntry
from validate.gating.baseline.baseline_counts import StoredCounts
from validate.gating.decision import FigureChange, decide
from validate.gating.rules import DRIFT, Rules
from validate.gating.verdict import Outcome, Verdict
from validate.metrics.counts import Counts, iou_of_counts
from validate.metrics.intervals import class_figures
from validate.result.result import ArtifactResult

_LISTED = 3
_TELLING = 0.005
"""Points; what rounds to 0.00 needs no name."""


@dataclass(frozen=True)
class Lists:
    """What counts are of, in their order: the ids of the images, the names of the classes."""

    images: Sequence[str]
    classes: Sequence[str]


@dataclass(frozen=True)
class Sides:
    """Per-image counts of the baseline and of the result; of one kind of label, the same images."""

    before: Counts
    now: Counts


def judge_same_images(
    artifact: ArtifactResult,
    entry: BaselineEntry,
    before: StoredCounts | None,
    now: StoredCounts | None,
    lists: Lists,
    rules: Rules,
    check: str,
) -> Verdict:
    """Judge one artifact by its entry: mIoU, every class, agreement, and drift.

    Without labels, the reference's classes take their place: fidelity mIoU that of mIoU, and
    classes are judged by the counts. Counts are those of either side, None where there are none;
    the other figures decide without them, too.
    """
    last = entry.last
    labelled = artifact.miou is not None or last.miou is not None
    noun = "mIoU" if labelled else "fidelity mIoU"
    value, earlier = _figure(artifact, labelled), _figure(last, labelled)
    if value is None or earlier is None:
        where = "the baseline" if value is not None else "the result"
        return Verdict(artifact.id, Outcome.UNKNOWN, f"no {noun} in {where}", check)
    main = FigureChange(noun, value - earlier, _allowed(rules.tolerance, last, "miou"))
    sides = _sides(before, now, labelled)
    classwise = (
        _class_changes(artifact, last, rules)
        if labelled
        else _fidelity_changes(sides, lists.classes, last, rules)
    )
    agreement = FigureChange(
        "agreement",
        artifact.agreement - last.agreement,
        _allowed(rules.agreement_tolerance, last, "agreement"),
    )
    others = [*classwise, agreement, *_drifts(artifact, entry, labelled, rules)]
    outcome = decide([main, *others], same_images=True)
    interval = _interval(sides) if sides else None
    return Verdict(
        artifact.id,
        outcome,
        _reason(main, value, others, interval, noisy=main.allowed > rules.tolerance),
        check,
        main.value,
        -main.allowed,
        interval,
        evidence=_evidence(artifact, entry, sides, lists.images, classwise),
    )


def _figure(one: ArtifactResult | Acceptance, labelled: bool) -> float | None:
    return one.miou if labelled else one.fidelity_miou


def _allowed(tolerance: float, last: Acceptance, figure: str) -> float:
    """Return the tolerance, or the measured noise of the same file where that is larger."""
    noise: float | None = getattr(last.noise, figure) if last.noise else None
    return max(tolerance, noise or 0.0)


def _class_changes(artifact: ArtifactResult, last: Acceptance, rules: Rules) -> list[FigureChange]:
    """Return the change of every class that the labels have, worst first."""
    allowed = _allowed(rules.class_tolerance, last, "class_iou")
    changes = [
        FigureChange(name, now - before, allowed)
        for name, before in (last.class_iou or {}).items()
        if (now := artifact.class_iou.get(name)) is not None
        and name not in artifact.invented_classes
    ]
    return sorted(changes, key=lambda change: (change.value, change.what))


def _fidelity_changes(
    sides: Sides | None, classes: Sequence[str], last: Acceptance, rules: Rules
) -> list[FigureChange]:
    """Return the change of every class that the reference sees, worst first.

    None without counts.
    """
    if sides is None or sides.now.shape[2] != len(classes):
        return []
    allowed = _allowed(rules.class_tolerance, last, "class_iou")
    there = sides.now[:, 1].sum(0) > 0
    pairs = zip(
        classes, there, iou_of_counts(sides.before.sum(0)), iou_of_counts(sides.now.sum(0)),
        strict=True,
    )  # fmt: skip
    changes = [
        FigureChange(name, now - before, allowed)
        for name, seen, before, now in pairs
        if seen and before is not None and now is not None
    ]
    return sorted(changes, key=lambda change: (change.value, change.what))


def _drifts(
    artifact: ArtifactResult, entry: BaselineEntry, labelled: bool, rules: Rules
) -> list[FigureChange]:
    """Return changes since the best that was accepted since the anchor.

    None while the anchor is the last acceptance: there was no step yet that could add up.
    """
    history = entry.since_anchor
    if len(history) < 2:
        return []
    since = f"since the anchor{_on(history[0])}"
    mious = [miou for earlier in history if (miou := _figure(earlier, labelled)) is not None]
    now = _figure(artifact, labelled)
    drifts = [
        FigureChange(
            f"agreement {since}", artifact.agreement - max(past.agreement for past in history),
            DRIFT * _allowed(rules.agreement_tolerance, entry.last, "agreement"),
        ),
    ]  # fmt: skip
    if mious and now is not None:
        noun = "mIoU" if labelled else "fidelity mIoU"
        bound = DRIFT * _allowed(rules.tolerance, entry.last, "miou")
        bound = bound if rules.max_drift is None else rules.max_drift
        drifts.insert(0, FigureChange(f"{noun} {since}", now - max(mious), bound))
    allowed = DRIFT * _allowed(rules.class_tolerance, entry.last, "class_iou")
    for name, value in artifact.class_iou.items():
        reached = [ious[name] for earlier in history if name in (ious := earlier.class_iou or {})]
        best = max(reached, default=None)
        if best is not None and value is not None and name not in artifact.invented_classes:
            drifts.append(FigureChange(f"{name} {since}", value - best, allowed))
    return drifts


def _sides(before: StoredCounts | None, now: StoredCounts | None, labelled: bool) -> Sides | None:
    if before is None or now is None:
        return None
    pair = (before.labels, now.labels) if labelled else (before.against, now.against)
    if pair[0] is None or pair[1] is None or pair[0].shape != pair[1].shape:
        return None
    return Sides(pair[0], pair[1])


def _interval(sides: Sides) -> tuple[float, float] | None:
    """Return the 95 % interval of the change in mIoU on other images, paired by image."""
    if np.array_equal(sides.before, sides.now):  # as fp32 is in most runs: nothing to resample
        return 0.0, 0.0
    if not np.array_equal(sides.before[:, 1], sides.now[:, 1]):  # the reference is another one
        return None
    by_class = class_figures({"before": sides.before, "now": sides.now})
    return (by_class["now"] - by_class["before"]).mean().interval()


def _reason(
    main: FigureChange,
    value: float,
    others: Sequence[FigureChange],
    interval: tuple[float, float] | None,
    *,
    noisy: bool,
) -> str:
    said = [
        f"{main.what} {value:.3f} is {main.value:+.3f} against the baseline, "
        f"tolerance {main.allowed:.3g}{' (measured noise)' * noisy}"
    ]
    if interval is not None and interval != (0.0, 0.0):
        said[0] += " (other images: {:+.3f} to {:+.3f})".format(*interval)
    lost = [change for change in others if change.lost]
    said += [
        f"{loss.what} {loss.value:+.3f}, tolerance {loss.allowed:.3g}" for loss in lost[:_LISTED]
    ]
    if len(lost) > _LISTED:
        said.append(f"and {len(lost) - _LISTED} more beyond their tolerance")
    return "; ".join(said)


def _evidence(
    artifact: ArtifactResult,
    entry: BaselineEntry,
    sides: Sides | None,
    images: Sequence[str],
    classwise: Sequence[FigureChange],
) -> tuple[str, ...]:
    """Return what helps to understand a change, most telling first."""
    said = []
    if carried := _carriers(classwise):
        said.append(f"classes that carry it: {carried}")
    if artifact.agreement != entry.last.agreement:
        said.append(
            f"pixels that differ from the reference: {100 - artifact.agreement:.3f} %, before "
            f"{100 - entry.last.agreement:.3f} %"
        )
    if sides is not None and not np.array_equal(sides.before, sides.now):
        said += _images(sides, images)
    noise = entry.last.noise
    if noise is not None:
        said.append(
            f"the same file under other settings ({', '.join(noise.settings)}): mIoU by up to "
            f"{noise.miou:.3f}, a class by {noise.class_iou:.3f}, agreement by "
            f"{noise.agreement:.3f}"
        )
    if len(history := entry.since_anchor) > 1:
        said.append(_accepted(history))
    return tuple(said)


def _carriers(classwise: Sequence[FigureChange]) -> str:
    """Return the classes that changed most, in the direction of the whole change."""
    whole = sum(change.value for change in classwise)
    ordered = classwise if whole <= 0 else classwise[::-1]
    telling = [one for one in ordered if abs(one.value) >= _TELLING and one.value * whole > 0]
    return ", ".join(f"{one.what} {one.value:+.2f}" for one in telling[:_LISTED])


def _images(sides: Sides, ids: Sequence[str]) -> list[str]:
    """Return how many images got worse and better, with an exact two-sided sign test, and which
    lost the largest share of their pixels."""
    correct = sides.now[:, 0].sum(1) - sides.before[:, 0].sum(1)
    worse, better = int((correct < 0).sum()), int((correct > 0).sum())
    p = sign_test(worse, better)
    said = [
        f"images: {worse} got worse, {better} better, of {len(correct)} (sign test p = {p:.2g})"
    ]
    shares = 100 * correct / np.maximum(sides.now[:, 1].sum(1), 1)
    most = [index for index in np.argsort(shares, kind="stable")[:_LISTED] if shares[index] < 0]
    if most and len(ids) == len(shares):
        listed = ", ".join(f"{ids[index]} {shares[index]:+.2f} %" for index in most)
        said.append(f"images that lost most right pixels: {listed}")
    return said


def sign_test(worse: int, better: int) -> float:
    """Return the two-sided p of so uneven a split of images that changed, were either as likely.

    Exact binomial (Conover, Practical Nonparametric Statistics, section 3.4).
    """
    changed = worse + better
    tail = sum(comb(changed, k) for k in range(min(worse, better) + 1))
    return min(1.0, float(2 * tail / 2**changed))


def _accepted(history: Sequence[Acceptance]) -> str:
    steps = [
        f"{after.date or 'earlier'} {_step(before, after)} ({after.reason})"
        for before, after in pairwise(history)
    ]
    more = f"{len(steps) - _LISTED} more, then " if len(steps) > _LISTED else ""
    return f"accepted since the anchor{_on(history[0])}: {more}{'; '.join(steps[-_LISTED:])}"


def _step(before: Acceptance, after: Acceptance) -> str:
    labelled = after.miou is not None
    pair = _figure(before, labelled), _figure(after, labelled)
    return "" if pair[0] is None or pair[1] is None else f"{pair[1] - pair[0]:+.3f}"


def _on(one: Acceptance) -> str:
    return f" of {one.date}" if one.date else ""
