"""What a result shows as charts: drops with intervals, and every class's IoU."""

from matplotlib.figure import Figure

from validate.report.page.svg import INK, LINE, series_colours, shortened
from validate.result.result import Result


def drop_chart(result: Result) -> Figure | None:
    """Return a dot with its 95 % interval per artifact, and a line where nothing is lost."""
    found = [(a, a.drop) for a in result.artifacts if a.drop is not None]
    if not found:
        return None
    colours = series_colours([a.id for a in result.artifacts], result.reference)
    figure = Figure(figsize=(7.2, 0.8 + 0.38 * len(found)), layout="constrained")
    axes = figure.add_subplot()
    for place, (artifact, drop) in enumerate(found):
        colour = colours[artifact.id]
        if artifact.drop_ci95:
            axes.hlines(place, *artifact.drop_ci95, color=colour, linewidth=2)
            axes.plot(artifact.drop_ci95, [place] * 2, "|", color=colour, markersize=10)
        axes.plot([drop], [place], "o", color=colour, markersize=8)
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_yticks(range(len(found)), [shortened(artifact.id) for artifact, _ in found])
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.margins(x=0.08)
    axes.set_xlabel("points of mIoU lost (left of 0: gained)")
    axes.grid(axis="x", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines["left"].set_color(LINE)
    return figure


def class_chart(result: Result) -> Figure | None:
    """Return bars of every class that has an IoU: the reference's, then each artifact's."""
    names = [
        name
        for name in result.class_names
        if any(a.class_iou.get(name) is not None for a in result.artifacts)
    ]
    if not names:
        return None
    ids = [a.id for a in result.artifacts]
    colours = series_colours(ids, result.reference)
    thick = 0.8 / len(ids)
    height = len(names) * (0.12 + 0.085 * len(ids)) + 1.0
    figure = Figure(figsize=(7.2, height), layout="constrained")
    axes = figure.add_subplot()
    for index, artifact in enumerate(result.artifacts):
        places = [place - 0.4 + thick * (index + 0.5) for place in range(len(names))]
        values = [artifact.class_iou.get(name) or 0.0 for name in names]
        axes.barh(places, values, thick * 0.9, color=colours[artifact.id], label=artifact.id)
    axes.set_yticks(range(len(names)), [_with_images(name, result) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.set_xlabel("IoU (%)")
    axes.grid(axis="x", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines["left"].set_color(LINE)
    figure.legend(loc="outside upper left", ncols=min(len(ids), 5))
    return figure


def _with_images(name: str, result: Result) -> str:
    count = result.class_images.get(name)
    return shortened(name) if count is None else f"{shortened(name)} ({count})"
