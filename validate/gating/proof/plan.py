"""How many images a verdict needs, by trying it.

Normal theory says too little here: a mIoU hangs on classes that live in few images, and a loss is
not the same in all of them. So the images of a result stand for all images like them. As many
as asked for are drawn from them again and again, a loss of the size in question is planted, spread
evenly over all pixels, and the gate's own rule is asked whether it shows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from export.common.errors import UsageError
from validate.gating.baseline.unpaired import Side, growth
from validate.gating.counted import Counted
from validate.gating.decision import FigureChange, decide
from validate.gating.verdict import Outcome
from validate.metrics.counts import Counts, counts_of
from validate.metrics.power import POWER, Z95, detectable, drop_error, mean_iou, standard_error

DRAWS = 400
MOST = 5_000
"""Images beyond which nobody has the time to look."""
_HALVINGS = 40

Shows = Callable[["Side", "Side", int, np.random.Generator], bool]
"""Whether a draw of so many images shows the loss: as it was, with the loss, images, draws."""


@dataclass(frozen=True)
class ImagePlan:
    """For one artifact: the smallest drop, in points, that its `images` show with 80 % power, and
    how many images of this kind show the drop that was asked for: judged by itself, and held
    against a baseline of as many other images (on each side).

    None without intervals, and for more than 5,000 images.
    """

    name: str
    protocol: str
    id: str
    images: int
    detectable: float | None
    needed: int | None
    needed_unpaired: int | None


def plan_images(counted: Counted, points: float) -> list[ImagePlan]:
    """Plan for a drop of `points` (more than 0) of every artifact but the reference."""
    if not 0 < points <= 100:
        raise UsageError(f"--plan {points:g}: give points of mIoU, such as 0.5")
    result, plans = counted.result, []
    for artifact in result.artifacts:
        if artifact.id == result.reference:
            continue
        error = standard_error(artifact.drop_ci95)
        head = (result.name, result.protocol, artifact.id, result.dataset.images)
        side = side_of(counted, artifact.id)
        if error is None or side is None:
            plans.append(ImagePlan(*head, None, None, None))
            continue
        needed = (images_needed(side, points, shows) for shows in (alone, against_others))
        plans.append(ImagePlan(*head, detectable(error), *needed))
    return plans


def side_of(counted: Counted, id: str) -> Side | None:
    """Return the counts of an artifact and its reference; None without labels."""
    pair = [counted.evidence.get(one) for one in (counted.result.reference, id)]
    labels = [None if one is None else one.labels for one in pair]
    if labels[0] is None or labels[1] is None:
        return None
    return Side(counts_of(labels[0]), counts_of(labels[1]))


def images_needed(side: Side, points: float, shows: Shows) -> int | None:
    """Return the fewest images with which a loss of `points` is seen in 80 % of draws.

    To within a tenth; None for more than MOST.
    """
    low, high = 2, 8
    while power(side, points, high, shows) < POWER:
        low, high = high, 2 * high
        if high > MOST:
            return None
    while high - low > max(1, high // 10):
        middle = (low + high) // 2
        if power(side, points, middle, shows) < POWER:
            low = middle
        else:
            high = middle
    return high


def power(side: Side, points: float, images: int, shows: Shows, *, seed: int = 0) -> float:
    """Return in how many percent of draws of `images` a planted loss of `points` shows."""
    worse = Side(side.reference, planted(side.artifact, points))
    rng = np.random.default_rng(seed)
    return 100 * sum(shows(side, worse, images, rng) for _ in range(DRAWS)) / DRAWS


def alone(side: Side, worse: Side, images: int, rng: np.random.Generator) -> bool:
    """Whether the drop of one draw is surely more than it was without the loss."""
    drawn = _drawn(worse, images, rng)
    return drawn.drop - Z95 * drop_error(drawn.reference, drawn.artifact) > side.drop


def against_others(side: Side, worse: Side, images: int, rng: np.random.Generator) -> bool:
    """Whether a draw with the loss fails against a baseline of another draw without."""
    value, interval = growth(_drawn(side, images, rng), _drawn(worse, images, rng))
    change = FigureChange("drop", value, allowed=0.0)
    return decide([change], interval, same_images=False) is Outcome.FAIL


def planted(counts: Counts, points: float) -> Counts:
    """Return counts of which the same share of all right pixels went to other classes, evenly:
    so many that mIoU is `points` lower, as far as it goes."""

    def at(share: float) -> Counts:
        moved = np.rint(share * counts[:, 0]).astype(np.int64)
        changed = counts.copy()
        changed[:, 0] -= moved
        spread = (moved.sum(1, keepdims=True) - moved) // max(counts.shape[2] - 1, 1)
        changed[:, 2] += spread - moved
        return changed

    before, low, high = float(mean_iou(counts.sum(0))), 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (
            (middle, high)
            if before - float(mean_iou(at(middle).sum(0))) < points
            else (low, middle)
        )
    return at(high)


def _drawn(side: Side, images: int, rng: np.random.Generator) -> Side:
    chosen = rng.integers(0, len(side.reference), images)
    return Side(side.reference[chosen], side.artifact[chosen])
