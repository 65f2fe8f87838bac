"""Where an artifact agrees with its reference: image by image, near borders and away from them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BOUNDARY = 5
"""Pixels, in rows and columns, up to which a border is near."""
WORST = 10
"""Images that a result lists."""


def boundary(classes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which pixels of a class map (h, w) are near a border, bool (h, w).

    A pixel is, if the window of 11x11 pixels around it, as far as the image goes, holds more
    than one value. 255 is a value like others: the ring that VOC draws around objects is the
    border, so that it and 5 px on its either side are near; the inside of a larger region
    without label is not.
    """
    padded = np.pad(classes, BOUNDARY, mode="edge")
    highest = _windows(np.maximum, _windows(np.maximum, padded).T).T
    lowest = _windows(np.minimum, _windows(np.minimum, padded).T).T
    return np.asarray(highest != lowest)


def _windows(extreme: np.ufunc, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the extreme of every 11 consecutive rows, by ever wider windows."""
    width, full = 1, 2 * BOUNDARY + 1
    while width < full:
        step = min(width, full - width)
        rows = extreme(rows[:-step], rows[step:])
        width += step
    return rows


@dataclass(frozen=True, slots=True)
class ImageCounts:
    """Pixels of one image, those predicted as by the reference, and both near borders."""

    id: str
    pixels: int
    agreeing: int
    near: int
    near_agreeing: int

    @property
    def agreement(self) -> float:
        """Percent of the image's pixels."""
        return 100 * self.agreeing / self.pixels


def count_image(id: str, agree: NDArray[np.bool_], near: NDArray[np.bool_]) -> ImageCounts:
    """Count pixels that agree, (h, w), and those of them that are near a border, (h, w)."""
    return ImageCounts(
        id,
        agree.size,
        int(np.count_nonzero(agree)),
        int(np.count_nonzero(near)),
        int(np.count_nonzero(agree & near)),
    )


def overall(images: Sequence[ImageCounts]) -> float:
    """Return the percent of all pixels that agree."""
    return 100 * sum(image.agreeing for image in images) / sum(image.pixels for image in images)


def near_borders(images: Sequence[ImageCounts]) -> float | None:
    """Return the percent of pixels near borders that agree; None where there are none."""
    return _percent(
        sum(image.near_agreeing for image in images), sum(image.near for image in images)
    )


def away_from_borders(images: Sequence[ImageCounts]) -> float | None:
    """Return the percent of all other pixels that agree; None where there are none."""
    return _percent(
        sum(image.agreeing - image.near_agreeing for image in images),
        sum(image.pixels - image.near for image in images),
    )


def worst(images: Sequence[ImageCounts]) -> list[ImageCounts]:
    """Return the images that agree least, worst first, ties by id; none that agree wholly."""
    differing = [image for image in images if image.agreeing < image.pixels]
    return sorted(differing, key=lambda one: (one.agreement, one.id))[:WORST]


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None
