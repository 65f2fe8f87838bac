"""A history as table, Markdown and plot."""

from collections.abc import Callable, Sequence
from io import StringIO
from typing import Any

from tabulate import tabulate

from export.common.escaping import markdown, terminal
from validate.history.series import FIGURES, breaks, series_of
from validate.history.store import Point
from validate.result.cells import Cell, markdown_table, number

PLOT_FILE = "history.svg"
PAGE_FILE = "history.md"

COLUMNS: dict[str, Callable[[Point], Cell]] = {
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


def break_lines(points: Sequence[Point]) -> list[str]:
    """Return a sentence for every commit where a figure of a series got worse or better."""
    lines = []
    for (name, protocol, _, artifact), series in series_of(points).items():
        for field, figure in FIGURES.items():
            for one in breaks([getattr(p, field) for p in series], figure.tolerance):
                word = "better" if one.change * figure.sign > 0 else "worse"
                how = "little by little, beyond tolerance" if one.gradual else "at once"
                lines.append(
                    f"{name} {protocol} {artifact}: {figure.word} {word} by "
                    f"{number(one.change, 3, sign=True)} at {series[one.index].commit_sha[:10]} "
                    f"({how})"
                )
    return lines


def history_table(points: Sequence[Point]) -> str:
    """Return the table of all series and their breaks, for a terminal."""
    rows = [[terminal(str(cell)) for cell in row] for row in _rows(points)]
    table = tabulate(rows, list(COLUMNS), disable_numparse=True)
    return "\n".join([table, "", *(map(terminal, break_lines(points) or ["no series broke"]))])


def history_markdown(points: Sequence[Point]) -> str:
    """Return history.md."""
    said = break_lines(points) or ["no series broke"]
    parts = [
        "# History",
        "\n".join(f"- {markdown(line)}" for line in said),
        f"![mIoU and agreement by commit]({PLOT_FILE})",
        markdown_table(_rows(points), list(COLUMNS)),
    ]
    return "\n\n".join(parts) + "\n"


def history_svg(points: Sequence[Point]) -> str:
    """Return an SVG: mIoU and agreement of every series over its commits, always the same bytes."""
    import matplotlib
    from matplotlib.figure import Figure as Drawing
    from matplotlib.ticker import MaxNLocator

    settings: dict[Any, Any] = {
        "svg.hashsalt": "segport", "svg.fonttype": "none", "text.parse_math": False
    }  # fmt: skip
    text = StringIO()
    with matplotlib.rc_context(settings):
        drawing = Drawing(figsize=(8, 6), layout="constrained")
        for axes, field in zip(
            drawing.subplots(2, sharex=True), ("miou", "agreement"), strict=True
        ):
            for (name, protocol, _, artifact), series in series_of(points).items():
                drawn = [getattr(p, field) for p in series]
                places = [index for index, value in enumerate(drawn) if value is not None]
                label = terminal(f"{name} {protocol} {artifact}")[:60]
                axes.plot(places, [drawn[i] for i in places], "o-", label=label)
            axes.set_ylabel(f"{FIGURES[field].word} (%)")
            axes.grid(color="0.9")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("commit, in the order of dates")
        axes.legend(fontsize=7, frameon=False)
        drawing.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def _rows(points: Sequence[Point]) -> list[list[Cell]]:
    return [
        [cell(point) for cell in COLUMNS.values()]
        for series in series_of(points).values()
        for point in series
    ]
