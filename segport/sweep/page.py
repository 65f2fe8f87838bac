"""A sweep as table for a terminal, Markdown, page and chart."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from tabulate import tabulate

from export.common.escaping import markdown, terminal
from segport.sweep.outcome import Row, SweepResult
from validate.result.cells import Cell, interval, markdown_table, number

if TYPE_CHECKING:  # the table waits for no matplotlib
    from matplotlib.figure import Figure

    from validate.report.page.svg import Width

CHART = "frontier.svg"
COLUMNS: dict[str, Callable[[Row], Cell]] = {
    "network": lambda row: row.network,
    "file": lambda row: row.cell,
    "mIoU": lambda row: number(row.miou, 2),
    "drop": lambda row: number(row.drop, 2, sign=True),
    "95 % interval": lambda row: interval(row.drop_ci95, 2) if row.drop_ci95 else "",
    "agreement": lambda row: number(row.agreement, 2),
    "ms": lambda row: number(row.latency_ms, 1),
    "time ratio": lambda row: number(row.latency_ratio, 2),
    "MB": lambda row: number(row.size_bytes and row.size_bytes / 1e6, 2),
    "size ratio": lambda row: number(row.size_ratio, 2),
    "": lambda row: "failed" if row.error else "frontier" if row.frontier else "",
}


def sweep_table(result: SweepResult) -> str:
    """Return the table, the frontier first, and why cells failed."""
    rows = [[terminal(str(cell)) for cell in row] for row in _cells(result)]
    table = tabulate(rows, list(COLUMNS), disable_numparse=True)
    return "\n".join([table, "", _reading(result), *map(terminal, _failures(result))])


def sweep_markdown(result: SweepResult) -> str:
    """Return sweep.md."""
    parts = [
        f"# {markdown(result.name)}",
        _reading(result),
        f"![{_ALT}]({CHART})",
        markdown_table(_cells(result), list(COLUMNS)),
        "\n".join(f"- {markdown(line)}" for line in _failures(result)),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def sweep_html(result: SweepResult) -> str:
    """Return sweep.html, one page that asks nobody for anything."""
    from validate.report.page.page import page_files, page_template
    from validate.report.page.svg import inline_svg, page_style

    with page_style():
        svg = inline_svg(partial(plot_sweep, result), "sweep", _ALT)
    best = [(row.network, row.cell, row.command) for row in result.rows if row.frontier]
    return page_template("sweep.html").render(
        **page_files(), title=result.name, svg=svg, reading=_reading(result),
        failures=_failures(result), head=list(COLUMNS), rows=_cells(result), best=best,
    )  # fmt: skip


def sweep_svg(result: SweepResult) -> str:
    """Return frontier.svg, always the same bytes."""
    from validate.report.page.svg import Width, standalone_svg

    return standalone_svg(partial(plot_sweep, result), "segport", Width(8.0, 60))


def plot_sweep(result: SweepResult, width: "Width") -> "Figure":
    """Return the figure: loss with its interval over time relative to fp32, a colour a network.

    The area of a dot is the size of its file; filled ones are of the frontier.
    """
    from matplotlib.figure import Figure as Drawing

    from validate.report.page.svg import INK, SERIES, say

    drawing = Drawing(figsize=(width.inches, 4.8), layout="constrained")
    axes = drawing.add_subplot()
    axes.axhline(0, color=INK, linewidth=1)
    names = list(dict.fromkeys(row.network for row in result.rows))
    for place, name in enumerate(names):
        colour = SERIES[place % len(SERIES)]
        shown = [row for row in result.rows if row.network == name and row.loss is not None]
        axes.plot([], [], "o", color=colour, label=width.lines(terminal(name)))
        line = sorted((r for r in shown if r.frontier), key=lambda r: r.latency_ratio or 0.0)
        times, losses = [r.latency_ratio for r in line], [r.loss for r in line]
        axes.plot(times, losses, color=colour, linewidth=1, alpha=0.6)  # type: ignore[arg-type]
        for row in shown:
            if row.drop_ci95:
                axes.vlines(row.latency_ratio or 0.0, *row.drop_ci95, color=colour, linewidth=1)
            (dot,) = axes.plot(
                [row.latency_ratio or 0.0],
                [row.loss or 0.0],
                "o",
                color=colour,
                fillstyle="full" if row.frontier else "none",
                markersize=4 + 8 * min(1.0, row.size_ratio or 1.0),
            )
            say(dot, _described(row))
    axes.set_xlabel("time relative to fp32")
    axes.set_ylabel("points lost against fp32")
    axes.grid()
    drawing.legend(loc="outside lower left", ncols=width.columns(names or [""]))
    return drawing


_ALT = "what every file lost over its time relative to fp32"

PAGES: dict[str, Callable[[SweepResult], str]] = {
    "sweep.md": sweep_markdown,
    "sweep.html": sweep_html,
    CHART: sweep_svg,
}
"""What renders a sweep, by the file's name."""


def _described(row: Row) -> str:
    return (
        f"{row.network} {row.cell}: {number(row.loss, 2, sign=True)} points, "
        f"{number(row.latency_ratio, 2)} of the time, {number(row.size_ratio, 2)} of the size"
    )


def _cells(result: SweepResult) -> list[list[Cell]]:
    """Return the frontier of each network by time, then the others, then what failed."""
    ranked = sorted(
        result.rows, key=lambda r: (r.error is not None, not r.frontier, r.latency_ratio or 0.0)
    )
    return [[cell(row) for cell in COLUMNS.values()] for row in ranked]


def _reading(result: SweepResult) -> str:
    """Return in a sentence what came of it."""
    judged, best = len(result.rows) - len(result.failed), sum(r.frontier for r in result.rows)
    text = f"{judged} files judged on {result.images} images under {result.protocol}"
    failed = f", {len(result.failed)} failed" if result.failed else ""
    return f"{text}{failed}; {best} are beaten by no other in loss, time and size."


def _failures(result: SweepResult) -> Sequence[str]:
    return [f"{row.network} {row.cell}: {row.error}" for row in result.failed]
