"""Draw what a precision search found: the score against MACs in int8 and against time."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from export.common.files import new_files
from validate.report.page.svg import ALARM, SERIES, SOFT, WIDE, Width, say, standalone_svg
from validate.result.cells import number

if TYPE_CHECKING:  # a report waits for no onnx
    from export.artifact.artifact import Artifact

SUFFIX = "-frontier.svg"
_WORDS = {"max_drop": "points of mIoU below fp32", "min_agreement": "pixels as in fp32 (%)"}

Row = Mapping[str, Any]


def write_frontier(artifact: "Artifact") -> list[Path]:
    """Draw the search of an artifact beside it, where it was searched for."""
    search = facts.get("search") if (facts := artifact.manifest.int8) else None
    if search is None:
        return []
    path = artifact.path.with_name(f"{artifact.path.stem}{SUFFIX}")
    with new_files(path) as (temporary,):
        temporary.write_text(frontier_svg(search), encoding="utf-8")
    return [path]


def frontier_svg(search: Mapping[str, Any]) -> str:
    """Return an SVG of what a manifest says of a search; the same text for the same facts."""
    return standalone_svg(partial(plot_frontier, search), "segport", Width(10.0, 60))


def frontier_table(search: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of all that was tried, most int8 first."""
    best = [_values(row) for row in search["frontier"]]
    rows = [
        [
            number(100 * row["int8_macs_share"], 1),
            number(row["score"], 3),
            number(row["latency_ms"], 1),
            "chosen" if _values(row) == _values(search["chosen"])
            else "frontier" if _values(row) in best else "",
        ]
        for row in sorted(search["candidates"], key=lambda row: -float(row["int8_macs_share"]))
    ]  # fmt: skip
    return ["MACs in int8 (%)", _WORDS[search["budget"]["kind"]], "ms", ""], rows


def frontier_reading(search: Mapping[str, Any]) -> str:
    """Return in a sentence what was chosen, and what all int8 would have lost."""
    chosen, budget = search["chosen"], search["budget"]
    word, at_most = _WORDS[budget["kind"]], budget["kind"] == "max_drop"
    most = max(search["candidates"], key=lambda row: float(row["int8_macs_share"]))
    text = (
        f"Chosen was {number(100 * chosen['int8_macs_share'], 1)} % of MACs in int8 with "
        f"{number(chosen['score'], 3)} {word}; {'at most' if at_most else 'at least'} "
        f"{budget['limit']:g} was asked for"
    )
    if _values(most) == _values(chosen):
        return f"{text}, and nothing with more in int8 was tried."
    return (
        f"{text}, and {number(100 * most['int8_macs_share'], 1)} % in int8 would have come to "
        f"{number(most['score'], 3)}."
    )


def plot_frontier(search: Mapping[str, Any], width: Width = WIDE) -> Figure:
    """Return the figure: one panel over MACs in int8, one over ms where these were measured."""
    timed = any(row["latency_ms"] is not None for row in search["frontier"])
    beside = timed and width.inches >= WIDE.inches
    size = (width.inches if beside else min(width.inches, 5.5), 7.2 if timed > beside else 4.0)
    figure = Figure(figsize=size, layout="constrained")
    shape = (1, 2) if beside else (2, 1) if timed else (1, 1)
    panels = list(figure.subplots(*shape, sharey=beside, squeeze=False).flat)
    _panel(panels[0], search, "int8_macs_share", 100.0, "MACs in int8 (%)")
    if timed:
        _panel(panels[1], search, "latency_ms", 1.0, "latency (ms)")
    for axes in panels[:1] if beside else panels:
        axes.set_ylabel(_WORDS[search["budget"]["kind"]])
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=width.columns(labels))
    return figure


def _panel(axes: Axes, search: Mapping[str, Any], key: str, factor: float, label: str) -> None:
    def draw(rows: Sequence[Row], style: str, label: str, **more: Any) -> None:
        there = [row for row in rows if row[key] is not None]
        places = [factor * row[key] for row in there]
        axes.plot(places, [row["score"] for row in there], style, label=label, **more)
        for place, row in zip(places, there, strict=True):
            (point,) = axes.plot([place], [row["score"]], "o", markersize=10, alpha=0)
            say(point, f"{label}: {_described(row)}, score {number(row['score'], 3)}")

    limit = search["budget"]["limit"]
    line = axes.axhline(limit, color=SOFT, linewidth=1, linestyle="--", label="limit")
    say(line, f"limit: {limit:g}")
    draw(search["candidates"], "o", "tried", color=SOFT, alpha=0.6, markersize=4)
    draw(search["frontier"], "o-", "frontier", color=SERIES[0], markersize=4)
    draw([search["chosen"]], "o", "chosen", color=ALARM, fillstyle="none", markersize=9)
    axes.set_xlabel(label)
    axes.grid(axis="y")


def _described(row: Row) -> str:
    time = "" if row["latency_ms"] is None else f", {number(row['latency_ms'], 1)} ms"
    return f"{number(100 * row['int8_macs_share'], 1)} % of MACs in int8{time}"


def _values(row: Row) -> tuple[Any, ...]:
    return row["int8_macs_share"], row["score"], row["latency_ms"]
