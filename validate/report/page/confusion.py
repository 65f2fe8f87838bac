"""Where pixels went: an artifact's confusion matrix minus the reference's."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from validate.metrics.metrics import Confusion
from validate.report.page.svg import LINE, Width, say
from validate.result.cells import number

Floats = NDArray[np.float64]

LARGEST = 40
"""Classes that a chart has room for; of more, those that changed most are drawn."""
FAINT = 0.1
"""Points below which no chart is worth its room."""
_VISIBLE = 1 / 255
_MORE, _LESS = (0.78, 0.12, 0.12), (0.0, 0.45, 0.70)


@dataclass(frozen=True)
class ConfusionChange:
    """Share of a label's pixels that is predicted as a class, percent, before and after."""

    label: str
    predicted: str
    reference: float
    artifact: float


def shares(confusion: Confusion) -> Floats:
    """Return the percent of each label's pixels by predicted class; a row without pixels is 0."""
    pixels = confusion.sum(1, keepdims=True)
    return np.asarray(100 * confusion / np.maximum(pixels, 1), np.float64)


def largest_changes(
    reference: Confusion, artifact: Confusion, classes: Sequence[str], count: int
) -> list[ConfusionChange]:
    """Return the `count` cells whose share changed most, largest first."""
    before, after = shares(reference), shares(artifact)
    order = np.argsort(-np.abs(after - before), axis=None, kind="stable")[:count]
    cells = [divmod(int(flat), len(classes)) for flat in order]
    return [
        ConfusionChange(
            classes[row], classes[column], float(before[row, column]), float(after[row, column])
        )
        for row, column in cells
        if before[row, column] != after[row, column]
    ]


def confusion_chart(difference: Floats, classes: Sequence[str], width: Width) -> Figure:
    """Return a heat map of changes in points, rows = labels.

    The largest has the full colour, unless it is below a point: that would be noise in red.
    """
    full = max(1.0, float(np.abs(difference).max()))
    shown = _shown(difference)
    names = [width.shortened(classes[index]) for index in shown]
    side = 0.7 + 0.068 * max(map(len, names)) + 0.145 * len(names)
    figure = Figure(figsize=(side + 0.9, side), layout="compressed")
    axes = figure.add_subplot()
    changes = difference[np.ix_(shown, shown)]
    axes.set_xlim(-0.5, len(shown) - 0.5)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_aspect("equal")
    for (row, column), colour in zip(
        np.ndindex(changes.shape), _colours(changes / full).reshape(-1, 4), strict=True
    ):
        if colour[3] >= _VISIBLE:
            corner = (column - 0.5, row - 0.5)
            patch = axes.add_patch(Rectangle(corner, 1, 1, color=tuple(colour), linewidth=0))
            text = number(float(changes[row, column]), 2, sign=True)
            say(patch, f"{classes[shown[row]]} as {classes[shown[column]]}: {text} points")
    places = range(len(names))
    axes.set_xticks(places, names, rotation=90, size=8)
    axes.set_yticks(places, names, size=8)
    axes.set_xticks([place + 0.5 for place in places], minor=True)
    axes.set_yticks([place + 0.5 for place in places], minor=True)
    axes.grid(which="minor", linewidth=0.5)
    axes.tick_params(which="both", length=0)
    axes.set_xlabel("predicted as")
    axes.set_ylabel("label")
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(LINE)
    bar = axes.inset_axes((1.06, 0.25, 0.04, 0.5))
    ramp = np.linspace(1, -1, 41)[:, None]
    bar.imshow(_colours(ramp), aspect="auto", interpolation="none", extent=(0, 1, -full, full))
    bar.set_xticks([])
    bar.yaxis.tick_right()
    bar.set_ylabel("points")
    bar.yaxis.set_label_position("right")
    return figure


def _shown(difference: Floats) -> list[int]:
    moved = np.abs(difference).sum(0) + np.abs(difference).sum(1)
    if len(moved) <= LARGEST:
        return list(range(len(moved)))
    return sorted(int(index) for index in np.argsort(-moved, kind="stable")[:LARGEST])


def _colours(share: Floats) -> Floats:
    """Return RGBA: red for more, blue for less, see-through for no change (-1 to 1)."""
    rgb = np.where((share > 0)[..., None], _MORE, _LESS)
    return np.concatenate([rgb, np.abs(share)[..., None].clip(0, 1)], axis=-1)
