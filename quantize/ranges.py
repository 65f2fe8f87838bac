"""Range rules: from what calibration saw to the range an activation is quantized over."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from export.errors import UsageError, unknown
from quantize.statistics import Histogram, MinMax, Statistic

Range = tuple[float, float]
DEFAULT_PERCENTILE = 99.99


@dataclass(frozen=True)
class RangeRule:
    """`statistic()` makes what must be collected per tensor; `range` reads it: (low, high)."""

    statistic: Callable[[], Statistic]
    range: Callable[[Any], Range]


def _minmax_range(seen: MinMax) -> Range:
    return seen.low, seen.high


def percentile_range(seen: Histogram, percentile: float) -> Range:
    """Leave out (100 - percentile) percent of the values at either end.

    Linear within a bin; never beyond the smallest and largest value seen.
    """
    total = np.concatenate(([0], np.cumsum(seen.counts)))
    outside = (1 - percentile / 100) * total[-1]
    low, high = np.interp([outside, total[-1] - outside], *_knots(total, seen.edges))
    extremes = seen.extremes
    return max(float(low), extremes.low), min(float(high), extremes.high)


def _knots(total: Any, edges: Any) -> tuple[Any, Any]:
    """Keep the edges of filled bins only: over empty ones the quantile function jumps."""
    filled = np.diff(total) > 0
    inside = np.zeros(total.size, bool)
    inside[:-1] |= filled
    inside[1:] |= filled
    return total[inside], edges[inside]


def _minmax(parameter: str | None) -> RangeRule:
    if parameter is not None:
        raise UsageError("range minmax takes no parameter")
    return RangeRule(MinMax, _minmax_range)


def _percentile(parameter: str | None) -> RangeRule:
    try:
        percentile = DEFAULT_PERCENTILE if parameter is None else float(parameter)
    except ValueError:
        percentile = float("nan")
    if not 50 < percentile <= 100:
        raise UsageError(f"range percentile:{parameter}: give a number above 50 and up to 100")
    return RangeRule(Histogram, partial(percentile_range, percentile=percentile))


RANGE_RULES: dict[str, Callable[[str | None], RangeRule]] = {
    "minmax": _minmax,
    "percentile": _percentile,
}
DEFAULT_RANGE = "minmax"


def range_rule(text: str) -> RangeRule:
    """Return the rule for `name` or `name:parameter`, such as "percentile:99.9".

    Raises UsageError for an unknown name or a parameter out of range.
    """
    name, separator, parameter = text.partition(":")
    if name not in RANGE_RULES:
        raise UsageError(unknown("range rule", name, RANGE_RULES))
    return RANGE_RULES[name](parameter if separator else None)
