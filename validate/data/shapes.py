"""What COCO's json calls a segmentation, checked before any of it is drawn.

pycocotools' C code takes what it is given: NaN or 1e30 in a polygon, or run lengths that do not
add up, end in endless memory or a crash.
"""

from collections.abc import Iterator
from math import hypot
from typing import Any

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]


def checked_polygons(shape: Any, size: Size) -> list[list[float]]:
    """Return the polygons [x, y, x, y, ...] of `shape` that enclose anything.

    They may leave the image, (height, width), by as much as its size, and their outlines be as
    long as it has pixels: that length is what drawing them costs. Raises ValueError for others
    and where no polygon has three corners.
    """
    if not isinstance(shape, list) or not shape:
        raise ValueError("neither polygons nor run lengths")
    length = 0.0
    for polygon in shape:
        _check_coordinates(polygon, size)
        corners = np.asarray(polygon, np.float64).reshape(-1, 2)
        length += float(np.abs(corners - np.roll(corners, 1, axis=0)).sum())
    height, width = size
    if length > height * width + 16 * hypot(height, width) * len(shape):
        raise ValueError("its outline is longer than the image has pixels")
    enclosing = [polygon for polygon in shape if len(polygon) >= 6]
    if not enclosing:
        raise ValueError("no polygon has three corners")
    return enclosing


def _check_coordinates(polygon: Any, size: Size) -> None:
    if not isinstance(polygon, list) or len(polygon) % 2:
        raise ValueError("a polygon is a list of pairs of numbers")
    for index, value in enumerate(polygon):
        side = size[1 - index % 2]
        # also False for NaN; and for True, which is a number in Python only
        if type(value) not in (int, float) or not -side <= value <= 2 * side:
            raise ValueError(f"coordinate {str(value)[:40]} is not on the image")


def other_size(shape: dict[str, Any], size: Size) -> list[int] | None:
    """Return the size that run lengths say, if it is one and another than `size`."""
    said = shape.get("size")
    if isinstance(said, list) and [type(side) for side in said] == [int, int]:
        return None if said == list(size) else said
    return None


def run_lengths(shape: dict[str, Any], size: Size) -> NDArray[np.bool_]:
    """Return the mask, bool (height, width), of run lengths as a list or packed as text.

    Runs go column by column and begin with what is outside. Raises ValueError unless they are
    of an image of `size` and add up to its pixels.
    """
    if shape.get("size") != list(size):
        raise ValueError("run lengths that do not say of what size")
    counts = shape.get("counts")
    runs = list(_unpacked(counts)) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
        raise ValueError("run lengths are a list of counts, or such a list packed as text")
    height, width = size
    if sum(runs) != height * width:
        raise ValueError(f"run lengths add up to {sum(runs)} of {height * width} pixels")
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(width, height).T


def _unpacked(text: str) -> Iterator[int]:
    """Undo rleToString of cocoapi's maskApi.c: 5 bits a character, from the third run on as
    the difference to the run before the last.
    """
    values: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("run lengths that were packed wrongly")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:  # the sign
            value -= 1 << shift
        values.append(value + (values[-2] if len(values) > 2 else 0))
        yield values[-1]
        value = shift = 0
    if shift:
        raise ValueError("run lengths that were packed wrongly")
