"""Numbers as table cells, and rows of cells as a Markdown table."""

import re
from collections.abc import Sequence

from tabulate import tabulate

from export.common.escaping import Markdown, markdown_inline

Cell = str | int


def number(value: float | None, digits: int, *, sign: bool = False) -> str:
    """Return `value` with `digits` decimals and, on request, a plus; "-" for None."""
    if value is None:
        return "-"
    rounded = round(value, digits) + 0.0  # no "-0.00"
    return f"{rounded:+.{digits}f}" if sign else f"{rounded:.{digits}f}"


def interval(ends: tuple[float, float] | None, digits: int, *, sign: bool = True) -> str:
    """Return "low to high", such as "-0.10 to +0.35"; "-" for None."""
    if ends is None:
        return "-"
    return " to ".join(number(end, digits, sign=sign) for end in ends)


def ratio(value: float | None, base: float | None) -> str:
    """Return `value` / `base` with two decimals; "-" where either is absent or zero."""
    return "-" if not value or not base else f"{value / base:.2f}"


def markdown_table(rows: Sequence[Sequence[Cell]], head: Sequence[str]) -> str:
    """Return a GitHub table that shows cells as they are; those that are `Markdown` as that."""
    escaped = [list(map(markdown_cell, row)) for row in rows]
    return tabulate(
        escaped, list(map(markdown_cell, head)), tablefmt="github", disable_numparse=True
    )


def markdown_cell(cell: Cell) -> str:
    """Return a cell's text for a GitHub table."""
    written = cell if isinstance(cell, Markdown) else markdown_inline(str(cell))
    # in a table a pipe ends a cell even inside code
    return re.sub(r"(?<!\\)\|", r"\\|", written)
