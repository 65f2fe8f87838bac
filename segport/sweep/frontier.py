"""Which files nothing beats: lost accuracy against time and size."""

from collections.abc import Sequence

from segport.sweep.outcome import Row


def with_frontier(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Mark the rows that no other row of their network dominates; failed ones never are."""
    return tuple(
        row.model_copy(update={"frontier": not any(_beats(other, row) for other in rows)})
        if _figures(row)
        else row
        for row in rows
    )


def _beats(one: Row, other: Row) -> bool:
    """Whether `one` is nowhere worse than `other`, and somewhere better."""
    mine, theirs = _figures(one), _figures(other)
    if one.network != other.network or mine is None or theirs is None:
        return False
    return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))


def _figures(row: Row) -> tuple[float, ...] | None:
    """Return loss, time and size relative to fp32, None where one is unknown."""
    if row.loss is None or row.latency_ratio is None or row.size_ratio is None:
        return None
    return row.loss, row.latency_ratio, row.size_ratio
