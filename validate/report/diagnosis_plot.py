"""Draw the SQNR of every layer."""

from io import StringIO
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from export.artifact.diagnosis import Diagnosis

PLOT_FILE = "diagnosis.svg"
_LOWEST, _HIGHEST = -10.0, 100.0
"""dB that are drawn; values beyond, infinite ones among them, lie at the edge."""
_INCHES_PER_LAYER = 0.09


def diagnosis_svg(diagnosis: Diagnosis) -> str:
    """Return an SVG: error at each layer, its own, what rounding explains, and the suspect.

    The same diagnosis gives the same bytes.
    """
    text = StringIO()
    settings: dict[Any, Any] = {
        "svg.hashsalt": "segport", "svg.fonttype": "none", "grid.color": "0.92"
    }  # fmt: skip
    with matplotlib.rc_context(settings):
        plot_diagnosis(diagnosis).savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def plot_diagnosis(diagnosis: Diagnosis) -> Figure:
    """Return the figure; x is the layer's place in topological order, y is dB."""
    layers = diagnosis.layers
    figure = Figure(
        figsize=(min(16.0, max(8.0, _INCHES_PER_LAYER * len(layers))), 4.8), layout="constrained"
    )
    axes = figure.add_subplot()
    places = range(len(layers))
    expected = [_drawn(layer.expected_sqnr_db) for layer in layers]
    own = [_drawn(layer.local_sqnr_db) for layer in layers]
    together = [_drawn(layer.sqnr_db) for layer in layers]
    axes.step(places, expected, where="mid", color="0.75", label="rounding explains")
    axes.plot(places, own, "o", markersize=3, color="tab:blue", label="layer's own error")
    axes.plot(places, together, color="tab:orange", label="error so far")
    place = diagnosis.suspect.index
    colour = "tab:red" if diagnosis.suspect.stands_out else "0.4"
    axes.axvline(place, color=colour, linewidth=1, linestyle="--")
    axes.plot([place], [own[place]], "o", markersize=8, fillstyle="none", color=colour)
    right = place > len(layers) / 2
    what = "suspect" if diagnosis.suspect.stands_out else "largest own error"
    axes.annotate(
        f"{what}: {layers[place].layer} ({layers[place].operator})",
        (place, 1.01),
        xycoords=("data", "axes fraction"),
        ha="right" if right else "left",
        color=colour,
    )
    axes.set_xlabel(f"layer of {diagnosis.other}, in the order of execution")
    axes.set_ylabel(f"SQNR against fp32 (dB, cut at {_LOWEST:.0f} and {_HIGHEST:.0f})")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(-1, len(layers))
    axes.grid(axis="y")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False)
    return figure


def _drawn(decibels: float) -> float:
    return min(max(decibels, _LOWEST), _HIGHEST)
