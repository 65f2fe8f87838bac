"""Markdown that is cut where it gets longer than its reader takes, and says so."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from validate.result.cells import Cell, markdown_cell

_RESERVE = 200
"""Characters kept back for the sentence that says what was left out."""


@dataclass(frozen=True)
class Section:
    """Lines between a beginning and an end that are written only with at least one of them."""

    before: str = ""
    lines: Sequence[str] = field(default_factory=list)
    after: str = ""


def table_section(
    rows: Sequence[Sequence[Cell]], head: Sequence[str], before: str = "", after: str = ""
) -> Section:
    """Return a GitHub table whose rows can be cut one by one; columns are not padded."""
    top = f"{before}{_row(head)}\n{_row(['---'] * len(head))}\n"
    return Section(top, [_row(row) for row in rows], after)


def fitted(start: str, sections: Sequence[Section], room: int) -> str:
    """Return `start` and as many lines as fit into `room` characters, in order.

    Where some do not, the last line says how many. `start` is always written.
    """
    left = room - len(start) - _RESERVE
    parts, omitted = [start], 0
    for section in sections:
        left -= len(section.before) + len(section.after) + 1
        kept = []
        for line in section.lines:
            left -= len(line) + 1
            if left < 0:
                break
            kept.append(line)
        omitted += len(section.lines) - len(kept)
        if kept:
            parts.append("".join([section.before, *(f"{line}\n" for line in kept), section.after]))
    if omitted:
        parts.append(f"{omitted} more lines were left out: this text may have {room} characters.\n")
    return "\n".join(parts)


def _row(cells: Sequence[Cell]) -> str:
    return f"| {' | '.join(map(markdown_cell, cells))} |"
