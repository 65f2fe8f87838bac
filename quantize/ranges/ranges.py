"""Range rules: from what calibration saw to the range an activation is quantized over."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from export.common.errors import UsageError
from quantize.calibration.histogram import Histogram
from quantize.calibration.statistics import MeanMinMax, MinMax, Statistic
from quantize.calibration.tails import Tails
from quantize.ranges.entropy import entropy_range
from quantize.ranges.grid import U8 as U8
from quantize.ranges.grid import Grid as Grid
from quantize.ranges.mse import mse_range

Range = tuple[float, float]
DEFAULT_PERCENTILE = 99.99
MAX_REACH = 16


@dataclass(frozen=True)
class RangeRule:
    """`statistic(images)` makes what must be collected per tensor from so many images.

    `range` turns it into (low, high).
    """

    statistic: Callable[[int], Statistic]
    find: Callable[[Any, Grid], Range]

    def range(self, seen: Statistic, grid: Grid = U8) -> Range:
        """Return the range of a tensor that will be quantized to `grid`."""
        return self.find(seen, grid)


def _extremes(seen: MinMax | MeanMinMax, grid: Grid, reach: float = 1) -> Range:
    return reach * seen.low, reach * seen.high


def percentile_range(seen: Tails, grid: Grid, share: float) -> Range:
    """Leave out `share` of the values at either end, 0-0.5.

    Linear within a bin; never beyond the smallest and largest value seen.
    """
    histogram = seen.histogram()
    total = np.concatenate(([0], np.cumsum(histogram.counts)))
    outside = share * total[-1]
    low, high = np.interp([outside, total[-1] - outside], *_knots(total, histogram.edges))
    return histogram.extremes.within(float(low), float(high))


def _knots(total: Any, edges: Any) -> tuple[Any, Any]:
    """Keep the edges of filled bins only: over empty ones the quantile function jumps."""
    filled = np.diff(total) > 0
    inside = np.zeros(total.size, bool)
    inside[:-1] |= filled
    inside[1:] |= filled
    return total[inside], edges[inside]


def _rule(statistic: type[Any], find: Callable[[Any, Grid], Range]) -> Any:
    def make(parameter: str | None) -> RangeRule:
        return RangeRule(lambda images: statistic(), find)

    return make


moving_average = _rule(MeanMinMax, _extremes)
entropy = _rule(Histogram, entropy_range)
mse = _rule(Histogram, mse_range)


def minmax(parameter: str | None) -> RangeRule:
    """Make the rule for a factor from 1 to 16, by default 1. Raises UsageError.

    A range that reaches further than calibration saw costs steps and saves what other images
    would lose at its ends.
    """
    reach = 1.0 if parameter is None else _number(parameter)
    if not 1 <= reach <= MAX_REACH:
        raise UsageError(f"range minmax:{parameter}: give a number from 1 to {MAX_REACH}")
    return RangeRule(lambda images: MinMax(), partial(_extremes, reach=reach))


def percentile(parameter: str | None) -> RangeRule:
    """Make the rule for a percentage from 50 to 100, by default 99.99. Raises UsageError."""
    kept = DEFAULT_PERCENTILE if parameter is None else _number(parameter)
    if not 50 < kept <= 100:
        raise UsageError(f"range percentile:{parameter}: give a number above 50 and up to 100")
    share = 1 - kept / 100
    return RangeRule(partial(Tails, share), partial(percentile_range, share=share))


def _number(text: str) -> float:
    """Read a number, NaN where there is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
