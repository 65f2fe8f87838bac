"""How sure mIoU, its drop and every class's drop are: intervals over the images.

All artifacts share the resamples, so a drop's interval is that of paired differences. As in
`validate.metrics.metrics` a mIoU averages over the classes that occur in the labels; a resample
that misses a class averages over those it has, and says nothing of that class's own drop.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from validate.metrics.bootstrap import RESAMPLES, SEED, Floats, Interval, interval, resampled_sums
from validate.metrics.confidence import LEVEL
from validate.metrics.counts import Counts, counts_of
from validate.metrics.large_arrays import by_rows

PerImage = NDArray[np.int64]
"""Confusion matrices (images, classes, classes), rows = label."""


@dataclass(frozen=True)
class ResampledFigures:
    """Figures of all images, of the resamples, and without one image each; NaN for none.

    One figure per class: (classes,), (resamples, classes), (images, classes). One figure in
    all: a float, (resamples,), (images,).
    """

    whole: Floats
    resampled: Floats
    left_out: Floats

    def __sub__(self, other: "ResampledFigures") -> "ResampledFigures":
        return ResampledFigures(
            self.whole - other.whole,
            self.resampled - other.resampled,
            by_rows(np.subtract, self.left_out, other.left_out),
        )

    def mean(self) -> "ResampledFigures":
        """Return the mean over the classes that are there."""
        return ResampledFigures(
            _class_mean(self.whole),
            _class_mean(self.resampled),
            by_rows(_class_mean, self.left_out),
        )

    def of_class(self, index: int) -> "ResampledFigures":
        """Return the figures of one class."""
        return ResampledFigures(
            self.whole[index], self.resampled[:, index], self.left_out[:, index]
        )

    def interval(self, level: float = LEVEL) -> Interval | None:
        """Return the interval of one figure in all, at `level` percent."""
        value = float(self.whole)
        return None if np.isnan(value) else interval(value, self.resampled, self.left_out, level)


def class_figures(
    counts: Mapping[str, Counts], resamples: int = RESAMPLES, seed: int = SEED
) -> dict[str, ResampledFigures]:
    """Return every class's IoU, percent, by the keys of `counts`, whose labels are the same."""
    rows = by_rows(_side_by_side, *counts.values())
    whole = rows.sum(0, keepdims=True)
    resampled = resampled_sums(rows, resamples, seed)
    figures = {}
    for place, key in enumerate(counts):
        ious = partial(_ious, place, 1 + 2 * len(counts))
        left_out = by_rows(lambda part, of=ious: of(whole - part), rows)
        figures[key] = ResampledFigures(ious(whole)[0], ious(resampled), left_out)
    return figures


def _side_by_side(*counts: Counts) -> Floats:
    """Return in one row an image's labels, and every artifact's hits and predictions."""
    parts = [counts[0][:, 1]]
    for count in counts:
        parts += [count[:, 0], count[:, 2]]
    return np.concatenate(parts, axis=1).astype(np.float64)


def _ious(place: int, parts: int, sums: Floats) -> Floats:
    """Return IoUs of the artifact at a place, of sums of such rows, which have so many parts."""
    split = np.split(sums, parts, axis=1)
    return _class_iou(split[0], split[1 + 2 * place], split[2 + 2 * place])


class Intervals:
    """Intervals of artifacts that saw the same images with the same labels, at `level` percent.

    `confusions` maps artifact ids to their per-image matrices. None stands for an interval
    that does not exist: one image, no labelled pixel, or a class in a single image.
    """

    def __init__(
        self,
        confusions: Mapping[str, PerImage],
        resamples: int = RESAMPLES,
        seed: int = SEED,
        level: float = LEVEL,
    ) -> None:
        self._level = level
        counts = {key: counts_of(matrices) for key, matrices in confusions.items()}
        self.class_iou = class_figures(counts, resamples, seed)

    def miou(self, id: str) -> Interval | None:
        """Return the interval of an artifact's mIoU, percent."""
        interval = self.class_iou[id].mean().interval(self._level)
        return interval and (max(interval[0], 0.0), min(interval[1], 100.0))

    def drop(self, reference: str, id: str) -> Interval | None:
        """Return the interval of reference's mIoU - the artifact's, points."""
        return (self.class_iou[reference] - self.class_iou[id]).mean().interval(self._level)

    def class_drops(self, reference: str, id: str) -> list[Interval | None]:
        """Return each class's interval of reference's IoU - the artifact's, points."""
        lost = self.class_iou[reference] - self.class_iou[id]
        return [lost.of_class(index).interval(self._level) for index in range(len(lost.whole))]


def _class_iou(labels: Floats, hits: Floats, predicted: Floats) -> Floats:
    """Return IoU in percent, all (n, classes); NaN where a class has no label."""
    union = labels + predicted - hits
    ious: Floats = np.full(hits.shape, np.nan)
    np.divide(100 * hits, union, out=ious, where=labels > 0)
    return ious


def _class_mean(ious: Floats) -> Floats:
    """Return the mean over the last axis, leaving out NaN; NaN where nothing is left."""
    there = ~np.isnan(ious)
    count = there.sum(-1)
    total = np.where(there, ious, 0.0).sum(-1)
    means: Floats = np.full(np.shape(count), np.nan)
    np.divide(total, count, out=means, where=count > 0)
    return means
