"""Choose the file to ship: the fastest that keeps within limits."""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from export.common.errors import UsageError, unknown
from segport.sweep.outcome import Row

FIGURES: dict[str, Callable[[Row], float | None]] = {
    "drop": lambda row: row.drop,
    "loss": lambda row: row.loss,
    "agreement": lambda row: row.agreement,
    "miou": lambda row: row.miou,
    "ms": lambda row: row.latency_ms,
    "time": lambda row: row.latency_ratio,
    "size": lambda row: row.size_ratio,
    "mb": lambda row: row.size_bytes and row.size_bytes / 1e6,
}
"""What limits may be set on."""
_COMPARED = {"<=": operator.le, ">=": operator.ge}
_LIMIT = re.compile(r"\s*(\w+)\s*(<=|>=)\s*(-?\d+(?:\.\d+)?)\s*")


@dataclass(frozen=True)
class Limit:
    """A figure, and what it must be at most or at least."""

    figure: str
    comparison: str
    value: float

    def holds(self, row: Row) -> bool:
        """Whether a row's figure is known and within the limit."""
        found = FIGURES[self.figure](row)
        return found is not None and bool(_COMPARED[self.comparison](found, self.value))


def parse_pick(text: str) -> list[Limit]:
    """Return the limits of "drop<=0.5,size<=0.3". Raises UsageError."""
    limits = []
    for part in text.split(","):
        match = _LIMIT.fullmatch(part)
        if match is None:
            raise UsageError(f"--pick {part!r}: give limits such as 'drop<=0.5,size<=0.3'")
        figure, comparison, value = match.groups()
        if figure not in FIGURES:
            raise UsageError(f"--pick: {unknown('figure', figure, FIGURES)}")
        limits.append(Limit(figure, comparison, float(value)))
    return limits


def pick(rows: Sequence[Row], limits: Sequence[Limit]) -> Row | None:
    """Return the fastest row within all limits, of two alike the one that loses less."""
    fitting = [row for row in rows if row.error is None and all(one.holds(row) for one in limits)]
    return min(fitting, key=_cost, default=None)


def _cost(row: Row) -> tuple[float, float, float]:
    return row.latency_ms or 0.0, row.size_bytes or 0, row.loss or 0.0


def picked_lines(row: Row | None, text: str, limits: Sequence[Limit]) -> list[str]:
    """Say which file to ship and what makes it, and where a limit lies within its interval."""
    if row is None:
        return [f"no file has {text}"]
    lines = [f"ship {row.file}", f"made by: {row.command}"]
    unsure = [
        limit
        for limit in limits
        if limit.figure == "drop"
        and row.drop_ci95
        and row.drop_ci95[0] <= limit.value <= row.drop_ci95[1]
    ]
    if unsure and row.drop_ci95:
        low, high = row.drop_ci95
        lines.append(
            f"the interval of its drop, {low:.2f} to {high:.2f}, goes beyond {unsure[0].value:g}: "
            "more images would tell"
        )
    return lines
