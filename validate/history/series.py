"""Series of comparable points, and the commits where one broke."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from validate.history.store import HistoryPoint

_SIGMAS = 5.0


@dataclass(frozen=True)
class Figure:
    """What is tracked. Changes within `tolerance` do not count; `sign` is +1 if more is better."""

    word: str
    tolerance: float
    sign: int = 1


FIGURES = {
    "miou": Figure("mIoU", 0.2),
    "loss": Figure("drop", 0.2, -1),
    "agreement": Figure("agreement", 0.2),
    "size_ratio": Figure("size ratio", 0.02, -1),
    "latency_ratio": Figure("time ratio", 0.1, -1),
}
"""By field of a point."""


@dataclass(frozen=True)
class Break:
    """At `index` the series left its level by `change`; a gradual one only came to it by then."""

    index: int
    change: float
    gradual: bool


def series_of(
    points: Iterable[HistoryPoint],
) -> dict[tuple[str, str, str, str], list[HistoryPoint]]:
    """Return points by (name, protocol, ids_sha256, artifact): only those can be compared."""
    series: dict[tuple[str, str, str, str], list[HistoryPoint]] = {}
    for point in points:
        key = (point.name, point.protocol, point.ids_sha256, point.artifact)
        series.setdefault(key, []).append(point)
    return series


def breaks(values: Sequence[float | None], tolerance: float) -> list[Break]:
    """Return where a series leaves the level it had, up or down, in order.

    The level is the value after the last break, at first the first value. A value breaks when it
    differs from the level by more than the limit: `tolerance`, or 5 robust standard deviations
    of the change from one value to the next where that is more (1.4826 times the median absolute
    deviation of the changes; Rousseeuw & Croux 1993). Two values of a noisy level differ by as
    much as two neighbours do, so that of normal noise one comparison in 1.7 million breaks. A
    step moves one change only and leaves the median alone. Because values are compared with the
    level and not with their neighbour, small steps add up until they break (`gradual`), at the
    commit where they do. A dip of one commit is two breaks, down and up. None is no value.
    """
    known = [(index, value) for index, value in enumerate(values) if value is not None]
    changes = [after - before for (_, before), (_, after) in pairwise(known)]
    if not changes:
        return []
    middle = statistics.median(changes)
    spread = 1.4826 * statistics.median(abs(change - middle) for change in changes)
    limit = max(tolerance, _SIGMAS * spread) + 1e-9  # a change of just the tolerance is within
    level, steps = known[0][1], []
    for (index, value), change in zip(known[1:], changes, strict=True):
        if abs(value - level) > limit:
            steps.append(Break(index, value - level, abs(change) <= limit))
            level = value
    return steps
