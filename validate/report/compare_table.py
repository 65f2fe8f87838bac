"""A comparison of two results, for a terminal."""

from tabulate import tabulate

from export.common.escaping import terminal
from validate.report.compare_results import Compared, Comparison
from validate.result.cells import Cell, interval, number

_HEAD = ("artifact", "mIoU A", "mIoU B", "B - A", "95 %", "agree A", "agree B", "size", "time")


def comparison_lines(comparison: Comparison) -> str:
    """Return the table, what it compares, and what a reader must know."""
    lines = [
        terminal(
            f"A {comparison.names[0]}, B {comparison.names[1]}: {comparison.protocol}, "
            f"{comparison.images} images of {comparison.dataset}"
        ),
        "",
        tabulate(map(_row, comparison.artifacts), _HEAD, tablefmt="simple", disable_numparse=True),
        "B - A in points of mIoU, more than 0 where B is better; size and time are B / A.",
        *map(terminal, comparison.notes),
    ]
    for side, ids in zip("AB", comparison.alone, strict=True):
        if ids:
            lines.append(terminal(f"only in {side}: {', '.join(ids)}"))
    return "\n".join(lines)


def _row(one: Compared) -> list[Cell]:
    return [
        terminal(one.id),
        *(number(value, 2) for value in one.miou),
        number(one.change, 2, sign=True),
        interval(one.change_ci95, 2),
        *(number(value, 2) for value in one.agreement),
        number(one.size_ratio, 2),
        number(one.latency_ratio, 2),
    ]
