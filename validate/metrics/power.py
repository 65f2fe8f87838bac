"""How small a change these images can show.

A figure's estimate is close to normal with standard error s. A two-sided 95 % interval excludes
no change when the estimate is more than z(97.5 %) s away from it; with a true change d that
happens with a probability of 80 % when d = (z(97.5 %) + z(80 %)) s, about 2.8 s (Cohen, Statistical
Power Analysis for the Behavioral Sciences, chapter 2).
"""

from math import sqrt
from statistics import NormalDist

import numpy as np

from validate.metrics.bootstrap import Floats
from validate.metrics.confidence import LEVEL
from validate.metrics.counts import Counts

POWER = 80.0
"""Percent of cases in which a change of the size named is seen."""
_NORMAL = NormalDist()
Z95 = _NORMAL.inv_cdf(0.975)
_REACH = Z95 + _NORMAL.inv_cdf(POWER / 100)


def standard_error(interval: tuple[float, float] | None, level: float = LEVEL) -> float | None:
    """Return the standard error that an interval at `level` percent stands for; None without."""
    if interval is None:
        return None
    return (interval[1] - interval[0]) / (2 * _NORMAL.inv_cdf(0.5 + level / 200))


def detectable(error: float) -> float:
    """Return the smallest change that a 95 % interval shows with 80 % power, in the unit of
    `error`, the standard error of the estimate."""
    return _REACH * error


def mean_iou(counts: Floats | Counts) -> Floats:
    """Return mIoU, percent, of counts summed over images, (..., 3, classes).

    Over the classes in the labels; NaN where there are none.
    """
    hits, labelled, predicted = counts[..., 0, :], counts[..., 1, :], counts[..., 2, :]
    union = np.maximum(labelled + predicted - hits, 1)
    there = labelled > 0
    total = (100 * hits / union * there).sum(-1)
    ious: Floats = np.full(np.shape(total), np.nan)
    np.divide(total, there.sum(-1), out=ious, where=there.any(-1))
    return ious


def drop_error(reference: Counts, artifact: Counts) -> float:
    """Return the standard error of a drop in mIoU over images, points: Tukey's jackknife.

    Counts are (images, 3, classes) of the same images.
    """
    left_out = [mean_iou(one.sum(0) - one) for one in (reference, artifact)]
    drops = left_out[0] - left_out[1]
    return sqrt((len(drops) - 1) / len(drops) * float(((drops - drops.mean()) ** 2).sum()))
