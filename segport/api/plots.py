"""Pictures for notebooks."""

from io import BytesIO

from matplotlib.figure import Figure

from validate.result.result import Result


class Plot(Figure):
    """A figure that a notebook shows, whether pyplot was imported or not."""

    def _repr_png_(self) -> bytes:
        data = BytesIO()
        self.savefig(data, format="png", dpi=120)
        return data.getvalue()


def loss_plot(result: Result) -> Plot:
    """Draw each artifact's drop with its 95 % interval, without labels its agreement."""
    shown = [artifact for artifact in result.artifacts if artifact.id != result.reference]
    figure = Plot(figsize=(6, 1 + 0.4 * len(shown)), layout="constrained")
    axes = figure.subplots()
    names = [one.id for one in shown]
    if result.dataset.labelled:
        drops = [one.drop or 0.0 for one in shown]
        ends = [one.drop_ci95 or (one.drop or 0.0,) * 2 for one in shown]
        below = [drop - low for drop, (low, _) in zip(drops, ends, strict=True)]
        above = [high - drop for drop, (_, high) in zip(drops, ends, strict=True)]
        axes.errorbar(drops, names, xerr=[below, above], fmt="o", capsize=4)
        axes.axvline(0, color="0.7")
        axes.set_xlabel("points of mIoU lost, 95 % interval")
    else:
        axes.barh(names, [one.agreement for one in shown])
        axes.set_xlabel("pixels as in the reference (%)")
    return figure
