"""What artifacts lost against their reference, and how sure that is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from validate.metrics.bootstrap import METHOD, RESAMPLES, SEED, Interval
from validate.metrics.confidence import LEVEL
from validate.metrics.intervals import Intervals, PerImage
from validate.metrics.metrics import Confusion, class_images, class_iou, miou
from validate.result.facts import BootstrapFacts, ClassDrop
from validate.result.result import Figures


@dataclass(frozen=True)
class Loss:
    """The statistics of one artifact, as in `ArtifactResult`; the defaults are those of one
    without labels, and all but `miou_ci95` of the reference."""

    miou_ci95: Interval | None = None
    drop: float | None = None
    drop_ci95: Interval | None = None
    class_drop: dict[str, ClassDrop] = field(default_factory=dict)


def find_losses(
    confusions: Mapping[str, PerImage],
    reference: str,
    classes: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    level: float = LEVEL,
) -> dict[str, Loss]:
    """Return the loss of every artifact, by the ids of `confusions`; `reference` is one."""
    if not confusions:
        return {}
    intervals = Intervals(confusions, resamples, seed, level)
    base, counts = confusions[reference].sum(0), class_images(confusions[reference])
    losses = {reference: Loss(intervals.miou(reference))}
    for id in confusions:
        if id == reference:
            continue
        total = confusions[id].sum(0)
        by_class = zip(
            classes,
            _class_drops(base, total),
            intervals.class_drops(reference, id),
            counts,
            strict=True,
        )
        losses[id] = Loss(
            miou_ci95=intervals.miou(id),
            drop=_difference(miou(base), miou(total)),
            drop_ci95=intervals.drop(reference, id),
            class_drop={
                name: ClassDrop(drop=drop, ci95=ci95, images=images)
                for name, drop, ci95, images in by_class
                if images and drop is not None
            },
        )
    return losses


def bootstrap_facts(artifacts: Iterable[Figures]) -> BootstrapFacts | None:
    """Return how the intervals were made; None without intervals."""
    if all(artifact.miou_ci95 is None for artifact in artifacts):
        return None
    return BootstrapFacts(method=METHOD, level=LEVEL, resamples=RESAMPLES, seed=SEED)


def _class_drops(base: Confusion, total: Confusion) -> list[float | None]:
    return [_difference(*pair) for pair in zip(class_iou(base), class_iou(total), strict=True)]


def _difference(base: float | None, value: float | None) -> float | None:
    return None if base is None or value is None else base - value
