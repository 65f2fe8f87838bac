"""A history as table, Markdown, page and plot."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tabulate import tabulate

from export.common.escaping import markdown, terminal
from validate.history.series import FIGURES, breaks, series_of
from validate.history.store import HistoryPoint
from validate.result.cells import Cell, markdown_table, number

if TYPE_CHECKING:  # the table waits for no matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

    from validate.report.page.svg import Width

PLOT_FILE = "history.svg"
_DRAWN = ("miou", "agreement")

COLUMNS: dict[str, Callable[[HistoryPoint], Cell]] = {
    "network": lambda p: p.name,
    "protocol": lambda p: p.protocol,
    "images": lambda p: p.ids_sha256[:8],
    "artifact": lambda p: p.artifact,
    "date": lambda p: p.date[:10],
    "commit": lambda p: p.commit_sha[:10],
    "mIoU": lambda p: number(p.miou, 2),
    "drop": lambda p: number(p.loss, 2, sign=True),
    "agreement": lambda p: number(p.agreement, 2),
    "size ratio": lambda p: number(p.size_ratio, 2),
    "time ratio": lambda p: number(p.latency_ratio, 2),
}


def break_lines(points: Sequence[HistoryPoint]) -> list[str]:
    """Return a sentence for every commit where a figure of a series got worse or better."""
    lines = []
    for (name, protocol, _, artifact), series in series_of(points).items():
        for field, figure in FIGURES.items():
            for start in breaks([getattr(p, field) for p in series], figure.tolerance):
                word = "better" if start.change * figure.sign > 0 else "worse"
                how = "gradually, beyond tolerance" if start.gradual else "at once"
                lines.append(
                    f"{name} {protocol} {artifact}: {figure.word} {word} by "
                    f"{number(start.change, 3, sign=True)} at {series[start.index].commit_sha[:10]}"
                    f" ({how})"
                )
    return lines


def history_table(points: Sequence[HistoryPoint]) -> str:
    """Return the table of all series and their breaks, for a terminal."""
    rows = [[terminal(str(cell)) for cell in row] for row in _rows(points)]
    table = tabulate(rows, list(COLUMNS), disable_numparse=True)
    return "\n".join([table, "", *(map(terminal, break_lines(points) or ["no series broke"]))])


def history_markdown(points: Sequence[HistoryPoint]) -> str:
    """Return history.md."""
    said = break_lines(points) or ["no series broke"]
    parts = [
        "# History",
        "\n".join(f"- {markdown(line)}" for line in said),
        f"![mIoU and agreement by commit]({PLOT_FILE})",
        markdown_table(_rows(points), list(COLUMNS)),
    ]
    return "\n\n".join(parts) + "\n"


def history_html(points: Sequence[HistoryPoint]) -> str:
    """Return history.html, one page that asks nobody for anything."""
    from functools import partial

    from validate.report.page.page import page_files, page_template
    from validate.report.page.svg import inline_svg, page_style

    with page_style():
        svg = inline_svg(partial(plot_history, points), "history", "mIoU and agreement by commit")
    rows = _rows(points)
    return page_template("history.html").render(
        **page_files(), svg=svg, reading=_reading(points), lines=break_lines(points),
        head=list(COLUMNS), rows=rows,
    )  # fmt: skip


def history_svg(points: Sequence[HistoryPoint]) -> str:
    """Return an SVG: mIoU and agreement of every series over its commits, always the same bytes."""
    from functools import partial

    from validate.report.page.svg import Width, standalone_svg

    return standalone_svg(partial(plot_history, points), "segport", Width(8.0, 60))


def plot_history(points: Sequence[HistoryPoint], width: "Width") -> "Drawing":
    """Return the figure: a panel per followed figure, a line per series, a dot per commit."""
    from matplotlib.figure import Figure as Drawing
    from matplotlib.ticker import MaxNLocator

    drawing = Drawing(figsize=(width.inches, 6), layout="constrained")
    panels = drawing.subplots(len(_DRAWN), sharex=True)
    for axes, field in zip(panels, _DRAWN, strict=True):
        _panel(axes, field, points, width)
        axes.set_ylabel(f"{FIGURES[field].word} (%)")
        axes.grid()
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[-1].set_xlabel("commit, in the order of dates")
    handles, labels = panels[-1].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower left", ncols=width.columns(labels))
    return drawing


def _panel(axes: "Axes", field: str, points: Sequence[HistoryPoint], width: "Width") -> None:
    from validate.report.page.svg import SERIES, say

    for place, ((name, protocol, _, artifact), series) in enumerate(series_of(points).items()):
        colour, title = SERIES[place % len(SERIES)], terminal(f"{name} {protocol} {artifact}")
        drawn = [(at, p, getattr(p, field)) for at, p in enumerate(series)]
        known = [(at, p, value) for at, p, value in drawn if value is not None]
        label = width.lines(title)
        axes.plot([at for at, *_ in known], [v for *_, v in known], color=colour, label=label)
        for at, point, value in known:
            (dot,) = axes.plot([at], [value], "o", color=colour, markersize=5)
            text = f"{title}: {FIGURES[field].word} {number(value, 2)} %"
            say(dot, terminal(f"{text} at {point.commit_sha[:10]}, {point.date[:10]}"))


def _reading(points: Sequence[HistoryPoint]) -> str:
    """Return in a sentence how many series broke, and the last break."""
    lines, count = break_lines(points), len(series_of(points))
    series = f"{count} series" if count > 1 else "The one series"
    if not lines:
        return f"{series} kept within tolerance at every commit."
    many = "once" if len(lines) == 1 else f"{len(lines)} times"
    return f"{series} left the level {many}; the last named below is {lines[-1]}."


HISTORY_FORMATS: dict[str, Callable[[Sequence[HistoryPoint]], str]] = {
    "history.md": history_markdown,
    "history.html": history_html,
    PLOT_FILE: history_svg,
}
"""What renders a history, by the file's name."""


def _rows(points: Sequence[HistoryPoint]) -> list[list[Cell]]:
    return [
        [cell(point) for cell in COLUMNS.values()]
        for series in series_of(points).values()
        for point in series
    ]
