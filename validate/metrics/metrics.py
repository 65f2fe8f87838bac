"""Integer confusion matrices and what follows from them.

A confusion matrix is int64 (classes, classes), rows = label, columns = prediction. All
shares are percent, 0-100, or None where there is nothing to divide by.
"""

import numpy as np
from numpy.typing import NDArray

from validate.metrics.large_arrays import by_rows

Confusion = NDArray[np.int64]


def confusion(label: NDArray[np.uint8], prediction: NDArray[np.uint8], classes: int) -> Confusion:
    """Count pixels by (label, prediction); pixels labelled 255 are left out.

    `label` and `prediction` have one shape; values are below `classes`, at most 255, or 255 in
    `label`.
    """
    cells = label.astype(np.uint16).reshape(-1) * np.uint16(classes) + prediction.reshape(-1)
    # cells of pixels labelled 255 lie behind those of all classes
    counts = np.bincount(cells, minlength=classes**2)[: classes**2]
    return counts.astype(np.int64).reshape(classes, classes)


def class_iou(total: Confusion) -> list[float | None]:
    """Return each class's IoU = true positives / (labelled + predicted - true positives).

    None for a class that is neither in the labels nor in the predictions.
    """
    hits = np.diagonal(total)
    union = total.sum(1) + total.sum(0) - hits
    return [100 * int(h) / int(u) if u else None for h, u in zip(hits, union, strict=True)]


def miou(total: Confusion) -> float | None:
    """Return the mean IoU over the classes that occur in the labels.

    A class that is only predicted counts through the IoU of the classes it was taken from,
    not as a zero of its own: one stray pixel must not cost a whole class.
    """
    labelled = total.sum(1) > 0
    return _mean([iou for iou, there in zip(class_iou(total), labelled, strict=True) if there])


def invented_classes(total: Confusion) -> list[int]:
    """Return the classes that are predicted although no label has them."""
    return [int(c) for c in np.flatnonzero((total.sum(1) == 0) & (total.sum(0) > 0))]


def class_images(confusions: Confusion) -> list[int]:
    """Return in how many images a label has each class; matrices (images, classes, classes)."""
    there = by_rows(lambda matrices: matrices.sum(2) > 0, confusions)
    return [int(count) for count in there.sum(0)]


def pixel_accuracy(total: Confusion) -> float | None:
    """Return the share of labelled pixels that are predicted right."""
    pixels = int(total.sum())
    return 100 * int(np.trace(total)) / pixels if pixels else None


def _mean(values: list[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None
