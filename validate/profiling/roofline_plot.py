"""Draw layers under the machine's roofs: what they compute in a second, against what they move."""

from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from validate.profiling.accounts import ProfiledLayer
from validate.profiling.profile import Profile
from validate.report.page.svg import INK, SERIES, SOFT, WIDE, Width, say, standalone_svg
from validate.result.cells import number

_LARGEST, _SMALLEST = 300.0, 8.0
"""Areas in square points: of the layer that takes longest, and the least; they go by the time."""


def roofline_svg(profile: Profile) -> str:
    """Return an SVG of the layers that have MACs; the same profile gives the same bytes."""
    return standalone_svg(partial(plot_roofline, profile), "segport", WIDE)


def plot_roofline(profile: Profile, width: Width = WIDE) -> Figure:
    """Return the figure; both axes are logarithmic, a layer's area is its time."""
    figure = Figure(figsize=(width.inches, 4.8), layout="constrained")
    axes = figure.add_subplot(xscale="log", yscale="log")
    layers = [layer for layer in profile.layers if layer.macs and layer.bytes and layer.ms]
    operators = list(dict.fromkeys(f"{layer.operator} ({layer.kind})" for layer in layers))
    longest = max((layer.ms for layer in layers), default=0.0)
    for index, name in enumerate(operators):
        members = [layer for layer in layers if f"{layer.operator} ({layer.kind})" == name]
        _draw(axes, members, longest, name, SERIES[index % len(SERIES)])
    _roofs(axes, profile, [layer.kind for layer in layers])
    axes.set_xlabel("MACs per byte that the layer reads or writes")
    axes.set_ylabel("GMAC/s")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(which="major")
    names = [*operators, "memory", "cache"]
    figure.legend(loc="outside lower left", ncols=width.columns(names))
    return figure


def _draw(axes: Axes, layers: list[ProfiledLayer], longest: float, name: str, colour: str) -> None:
    for place, layer in enumerate(layers):
        area = max(_SMALLEST, _LARGEST * layer.ms / longest)
        (point,) = axes.plot(
            [layer.computed_macs / layer.bytes], [layer.computed_macs / layer.ms / 1e6], "o",
            markersize=area**0.5, color=colour, alpha=0.6, label=name if place == 0 else None,
        )  # fmt: skip
        say(
            point,
            f"{layer.name} ({layer.operator}, {layer.kind}): {number(layer.ms, 3)} ms, at its "
            f"roof {number(layer.roof_ms, 3)} ms (set by {layer.bound_by})",
        )


def _roofs(axes: Axes, profile: Profile, kinds: list[str]) -> None:
    left, right = axes.get_xlim()
    low, high = axes.get_ylim()
    for kind in dict.fromkeys(kinds):
        if (peak := profile.peaks.get(kind)) is None:
            continue
        line = axes.axhline(peak, color=INK, linewidth=1)
        say(line, f"peak in {kind}: {number(peak, 0)} GMAC/s")
        axes.annotate(f"peak in {kind}", (left, peak), va="bottom", size="small")
        high = max(high, 2 * peak)
    speeds = profile.bandwidths.values()
    for name, speed, style in (("memory", min(speeds), "--"), ("cache", max(speeds), ":")):
        places = np.array([left, right])
        (slope,) = axes.plot(
            places, speed * places, style, color=SOFT, label=name, scalex=False, scaley=False
        )
        say(slope, f"{name}: {number(speed, 0)} GB/s")
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)
