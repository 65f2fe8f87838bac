"""Draw the SQNR of every layer."""

from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from export.artifact.diagnosis import Diagnosis
from export.common.escaping import terminal
from validate.report.page.svg import ALARM, INK, SERIES, SOFT, Width, say, standalone_svg
from validate.result.cells import number

PLOT_FILE = "diagnosis.svg"
_LOWEST, _HIGHEST = -10.0, 100.0
"""dB that are drawn; values beyond, infinite ones among them, lie at the edge."""
_INCHES_PER_LAYER = 0.09


def diagnosis_svg(diagnosis: Diagnosis) -> str:
    """Return an SVG: error at each layer, its own, what rounding explains, and the suspect.

    The same diagnosis gives the same bytes.
    """
    inches = min(16.0, max(8.0, _INCHES_PER_LAYER * len(diagnosis.layers)))
    return standalone_svg(partial(plot_diagnosis, diagnosis), "segport", Width(inches, 60))


def plot_diagnosis(diagnosis: Diagnosis, width: Width) -> Figure:
    """Return the figure; x is the layer's place in topological order, y is dB."""
    layers = diagnosis.layers
    figure = Figure(figsize=(width.inches, 4.8), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(layers))
    expected = [_drawn(layer.expected_sqnr_db) for layer in layers]
    own = [_drawn(layer.local_sqnr_db) for layer in layers]
    together = [_drawn(layer.sqnr_db) for layer in layers]
    axes.step(places, expected, where="mid", color=SOFT, alpha=0.6, label="rounding explains")
    axes.plot(places, own, "o", markersize=3, color=SERIES[0], label="layer's own error")
    axes.plot(places, together, color=SERIES[1], label="error so far")
    place = diagnosis.suspect.index
    colour = ALARM if diagnosis.suspect.stands_out else INK
    axes.axvline(place, color=colour, linewidth=1, linestyle="--")
    axes.plot([place], [own[place]], "o", markersize=8, fillstyle="none", color=colour)
    what = "suspect" if diagnosis.suspect.stands_out else "largest own error"
    name = f"{what}: {layers[place].layer} ({layers[place].operator})"
    # above the whole chart and in lines: at its place in the chart a long name would be cut off
    figure.suptitle(width.lines(terminal(name)), x=0.01, ha="left", size="medium", color=colour)
    axes.set_xlabel("layer, in the order of execution")
    axes.set_ylabel(f"SQNR against fp32 (dB, cut at {_LOWEST:.0f} and {_HIGHEST:.0f})")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(-1, len(layers))
    axes.grid(axis="y")
    names = ["rounding explains", "layer's own error", "error so far"]
    figure.legend(loc="outside lower left", ncols=width.columns(names))
    _say_values(axes, diagnosis)
    return figure


def _say_values(axes: Axes, diagnosis: Diagnosis) -> None:
    """Have the whole height above each layer's place say its values."""
    for place, layer in enumerate(diagnosis.layers):
        strip = axes.axvspan(place - 0.5, place + 0.5, facecolor="none", linewidth=0)
        so_far, own, expected = (
            number(value, 1)
            for value in (layer.sqnr_db, layer.local_sqnr_db, layer.expected_sqnr_db)
        )
        say(
            strip,
            f"{place}: {layer.layer} ({layer.operator}): error so far {so_far} dB, "
            f"own {own} dB, rounding explains {expected} dB",
        )


def _drawn(decibels: float) -> float:
    return min(max(decibels, _LOWEST), _HIGHEST)
