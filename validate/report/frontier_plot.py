"""Draw what a precision search found: the score against MACs in int8 and against time."""

from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from export.artifact.artifact import Artifact
from export.common.files import new_files

SUFFIX = "-frontier.svg"
_WORDS = {"max_drop": "points of mIoU below fp32", "min_agreement": "pixels as in fp32 (%)"}

Row = Mapping[str, Any]


def write_frontier(artifact: Artifact) -> list[Path]:
    """Draw the search of an artifact beside it, where it was searched for."""
    found = artifact.manifest.checks.get(artifact.manifest.precision, {}).get("search")
    if found is None:
        return []
    path = artifact.path.with_name(f"{artifact.path.stem}{SUFFIX}")
    with new_files(path) as (temporary,):
        temporary.write_text(frontier_svg(found), encoding="utf-8")
    return [path]


def frontier_svg(found: Mapping[str, Any]) -> str:
    """Return an SVG of what a manifest says of a search; the same text for the same facts."""
    text = StringIO()
    settings: dict[Any, Any] = {
        "svg.hashsalt": "segport", "svg.fonttype": "none", "grid.color": "0.92"
    }  # fmt: skip
    with matplotlib.rc_context(settings):
        plot_frontier(found).savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def plot_frontier(found: Mapping[str, Any]) -> Figure:
    """Return the figure: one panel over MACs in int8, one over ms where these were measured."""
    timed = [one for one in found["frontier"] if one["latency_ms"] is not None]
    figure = Figure(figsize=(10.0 if timed else 5.5, 4.0), layout="constrained")
    panels = figure.subplots(1, 2 if timed else 1, sharey=True, squeeze=False)[0]
    _panel(panels[0], found, "int8_macs_share", 100.0, "MACs in int8 (%)")
    panels[0].set_ylabel(_WORDS[found["budget"]["kind"]])
    if timed:
        _panel(panels[1], found, "latency_ms", 1.0, "latency (ms)")
    return figure


def _panel(axes: Axes, found: Mapping[str, Any], key: str, factor: float, label: str) -> None:
    def draw(rows: Sequence[Row], style: str, **more: Any) -> None:
        there = [row for row in rows if row[key] is not None]
        places = [factor * row[key] for row in there]
        axes.plot(places, [row["score"] for row in there], style, **more)

    draw(found["candidates"], "o", color="0.7", markersize=4, label="tried")
    draw(found["frontier"], "o-", color="tab:blue", markersize=4, label="frontier")
    draw([found["chosen"]], "o", color="tab:red", fillstyle="none", markersize=9, label="chosen")
    axes.axhline(found["budget"]["limit"], color="0.4", linewidth=1, linestyle="--")
    axes.set_xlabel(label)
    axes.grid(axis="y")
    axes.legend(frameon=False)
