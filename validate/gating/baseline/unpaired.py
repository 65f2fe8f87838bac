"""A result against a baseline entry of other images: two independent samples.

Compared is what the artifact loses against the reference that ran beside it (see `decision`).
"""

from dataclasses import dataclass
from math import hypot

from validate.gating.decision import FigureChange, decide
from validate.gating.rules import Rules
from validate.gating.verdict import Outcome, Verdict
from validate.metrics.bootstrap import Interval
from validate.metrics.counts import Counts
from validate.metrics.power import Z95, detectable, drop_error, mean_iou

_HINT = (
    "validate on the baseline's images, accept these with --update-baseline, or decide with "
    "--on-inconclusive"
)


@dataclass(frozen=True)
class Side:
    """Counts (images, 3, classes) of a reference and an artifact on one list of images."""

    reference: Counts
    artifact: Counts

    @property
    def drop(self) -> float:
        """What the artifact lost on these images, points of mIoU."""
        return float(mean_iou(self.reference.sum(0)) - mean_iou(self.artifact.sum(0)))

    @property
    def error(self) -> float:
        """The drop's standard error."""
        return drop_error(self.reference, self.artifact)


def growth(before: Side, now: Side) -> tuple[float, Interval]:
    """Return how much the drop changed between two samples, points, negative where it grew, with
    the 95 % interval."""
    value, error = before.drop - now.drop, hypot(before.error, now.error)
    return value, (value - Z95 * error, value + Z95 * error)


def judge_other_images(
    id: str, now: Side | None, before: Side | None, rules: Rules, check: str
) -> Verdict:
    """Compare the drop of an artifact with its drop on the baseline's other images.

    None where counts are not known: then nothing can be told.
    """
    choice = rules.on_inconclusive
    if now is None or before is None:
        nothing = FigureChange("drop", 0.0, rules.tolerance)
        outcome = decide([nothing], None, same_images=False, on_inconclusive=choice)
        reason = "other images than the baseline's, and no counts of drops on both sides"
        return Verdict(id, outcome, f"{reason}; {_HINT}", check, inconclusive=True)
    value, interval = growth(before, now)
    change = FigureChange("drop", value, rules.tolerance)
    outcome = decide([change], interval, same_images=False, on_inconclusive=choice)
    inconclusive = decide([change], interval, same_images=False) is Outcome.UNKNOWN
    reason = (
        f"other images than the baseline's, so an unpaired comparison: drop {now.drop:+.3f} here, "
        f"{before.drop:+.3f} there, grown by {-change.value:+.3f} "
        f"(95 % interval {-interval[1]:+.3f} to {-interval[0]:+.3f}), tolerance "
        f"{rules.tolerance:g}; detectable from {detectable((interval[1] - change.value) / Z95):.2f}"
    )
    hint = f"; {_HINT}" if inconclusive else ""
    return Verdict(
        id, outcome, reason + hint, check, change.value, -change.allowed, interval, inconclusive
    )
