"""Per-image pixel counts: all that IoU needs of a confusion matrix.

Counts are int64 (images, 3, classes): for each image and class the pixels predicted right,
labelled, and predicted.
"""

import numpy as np
from numpy.typing import NDArray

from validate.metrics.large_arrays import by_rows

Counts = NDArray[np.int64]


def counts_of(confusions: NDArray[np.int64]) -> Counts:
    """Reduce per-image confusion matrices (images, classes, classes), rows = label."""
    return by_rows(_counts, confusions)


def _counts(confusions: NDArray[np.int64]) -> Counts:
    hits = np.diagonal(confusions, axis1=1, axis2=2)
    return np.stack([hits, confusions.sum(2), confusions.sum(1)], axis=1)


def counts_miou(counts: Counts) -> float | None:
    """Return the mIoU of all images together, percent, over the classes in the labels."""
    hits, labelled, predicted = counts.sum(0)
    there = labelled > 0
    if not there.any():
        return None
    union = labelled + predicted - hits
    return float(100 * np.mean(hits[there] / union[there]))


def iou_of_counts(total: NDArray[np.int64]) -> list[float | None]:
    """Return each class's IoU, percent, of counts summed over images, (3, classes).

    None for a class that is neither labelled nor predicted.
    """
    hits, labelled, predicted = total
    union = labelled + predicted - hits
    return [100 * int(h) / int(u) if u else None for h, u in zip(hits, union, strict=True)]
