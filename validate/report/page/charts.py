"""What a result shows as charts: drops with intervals, and every class's IoU."""

from matplotlib.figure import Figure

from validate.report.page.svg import INK, LINE, Width, say, series_colours
from validate.result.cells import interval, number
from validate.result.result import Result


def has_drops(result: Result) -> bool:
    """Return whether there is anything for `drop_chart` to show."""
    return any(a.drop is not None for a in result.artifacts)


def drop_chart(result: Result, width: Width) -> Figure:
    """Return a dot with its 95 % interval per artifact, and a line where nothing is lost."""
    drops = [(a, a.drop) for a in result.artifacts if a.drop is not None]
    colours = series_colours([a.id for a in result.artifacts], result.reference)
    figure = Figure(figsize=(width.inches, 0.8 + 0.38 * len(drops)), layout="constrained")
    axes = figure.add_subplot()
    for place, (artifact, drop) in enumerate(drops):
        colour = colours[artifact.id]
        text = f"{artifact.id}: {number(drop, 2, sign=True)} points"
        if artifact.drop_ci95:
            text += f", 95 % interval {interval(artifact.drop_ci95, 2)}"
            say(axes.hlines(place, *artifact.drop_ci95, color=colour, linewidth=2), text)
            axes.plot(artifact.drop_ci95, [place] * 2, "|", color=colour, markersize=10)
        (dot,) = axes.plot([drop], [place], "o", color=colour, markersize=8)
        say(dot, text)
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_yticks(range(len(drops)), [width.shortened(artifact.id) for artifact, _ in drops])
    axes.set_ylim(len(drops) - 0.4, -0.6)
    axes.margins(x=0.08)
    axes.set_xlabel("points of mIoU lost (below 0: gained)")
    axes.grid(axis="x", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines["left"].set_color(LINE)
    return figure


def charted_classes(result: Result) -> list[str]:
    """Return the classes that have an IoU."""
    return [
        name
        for name in result.class_names
        if any(a.class_iou.get(name) is not None for a in result.artifacts)
    ]


def class_chart(result: Result, width: Width) -> Figure:
    """Return bars of every class that has an IoU: the reference's, then each artifact's."""
    names = charted_classes(result)
    ids = [a.id for a in result.artifacts]
    colours = series_colours(ids, result.reference)
    thick = 0.8 / len(ids)
    height = len(names) * (0.12 + 0.085 * len(ids)) + 1.0
    figure = Figure(figsize=(width.inches, height), layout="constrained")
    axes = figure.add_subplot()
    for index, artifact in enumerate(result.artifacts):
        places = [place - 0.4 + thick * (index + 0.5) for place in range(len(names))]
        values = [artifact.class_iou.get(name) or 0.0 for name in names]
        label, colour = width.shortened(artifact.id), colours[artifact.id]
        bars = axes.barh(places, values, thick * 0.9, color=colour, label=label)
        for name, bar in zip(names, bars, strict=True):
            say(bar, f"{name}, {artifact.id}: {number(artifact.class_iou.get(name), 2)} %")
    axes.set_yticks(range(len(names)), [_with_images(name, result, width) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.set_xlabel("IoU (%)")
    axes.grid(axis="x", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines["left"].set_color(LINE)
    columns = width.columns([width.shortened(id) for id in ids])
    figure.legend(loc="outside upper left", ncols=columns)
    return figure


def _with_images(name: str, result: Result, width: Width) -> str:
    count = result.class_images.get(name)
    return width.shortened(name) if count is None else f"{width.shortened(name)} ({count})"
