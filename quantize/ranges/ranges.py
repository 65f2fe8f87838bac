"""Range rules: from what calibration saw to the range an activation is quantized over."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from export.common.errors import UsageError, unknown
from quantize.calibration.histogram import Histogram
from quantize.calibration.statistics import MeanMinMax, MinMax, Statistic
from quantize.calibration.tails import Tails
from quantize.ranges.entropy import entropy_range
from quantize.ranges.grid import U8 as U8
from quantize.ranges.grid import Grid as Grid
from quantize.ranges.mse import mse_range

Range = tuple[float, float]
DEFAULT_PERCENTILE = 99.99


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


def _extremes(seen: MinMax | MeanMinMax, grid: Grid) -> Range:
    return seen.low, seen.high


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


def _rule(name: str, statistic: type[Any], find: Callable[[Any, Grid], Range]) -> Any:
    def make(parameter: str | None) -> RangeRule:
        if parameter is not None:
            raise UsageError(f"range {name} takes no parameter")
        return RangeRule(lambda images: statistic(), find)

    return make


def _percentile(parameter: str | None) -> RangeRule:
    try:
        percentile = DEFAULT_PERCENTILE if parameter is None else float(parameter)
    except ValueError:
        percentile = float("nan")
    if not 50 < percentile <= 100:
        raise UsageError(f"range percentile:{parameter}: give a number above 50 and up to 100")
    share = 1 - percentile / 100
    return RangeRule(partial(Tails, share), partial(percentile_range, share=share))


RANGE_RULES: dict[str, Callable[[str | None], RangeRule]] = {
    "minmax": _rule("minmax", MinMax, _extremes),
    "moving-average": _rule("moving-average", MeanMinMax, _extremes),
    "percentile": _percentile,
    "entropy": _rule("entropy", Histogram, entropy_range),
    "mse": _rule("mse", Histogram, mse_range),
}
DEFAULT_RANGE = "percentile"


def range_rule(text: str) -> RangeRule:
    """Return the rule for `name` or `name:parameter`, such as "percentile:99.9".

    Raises UsageError for an unknown name or a parameter out of range.
    """
    name, separator, parameter = text.partition(":")
    if name not in RANGE_RULES:
        raise UsageError(unknown("range rule", name, RANGE_RULES))
    return RANGE_RULES[name](parameter if separator else None)
