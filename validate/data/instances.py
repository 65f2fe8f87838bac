"""COCO's instance annotations as a label: polygons and run lengths drawn into one class map.

What is drawn is what torchvision's references/segmentation/coco_utils.py draws: every instance,
crowds (run lengths) like any other, one after the other; a pixel of two instances is 255.
"""

import hashlib
import json
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.artifact.classes import VOID
from export.common.errors import DataError
from export.common.memory import refuse_beyond
from validate.data.shapes import checked_polygons, other_size, run_lengths

EXTRA = "COCO labels need pycocotools: pip install 'segport[coco]'"

_BYTES_PER_PIXEL = 5
"""The label, how often a pixel is covered, and an instance as pycocotools and we hold it."""


@dataclass(frozen=True)
class Instance:
    """`label` is the class index; `segmentation` polygons or run lengths as COCO writes them."""

    annotation: int
    label: int
    segmentation: Any


@dataclass(frozen=True)
class Instances:
    """All instances of one image. `size` is (height, width); `classes` how many labels there are.

    Pixels of no instance are class 0.
    """

    size: tuple[int, int]
    classes: int
    shapes: tuple[Instance, ...]

    @property
    def digest(self) -> str:
        """Hex sha256 of size, classes and shapes, in order."""
        content = [self.size, [[shape.label, shape.segmentation] for shape in self.shapes]]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def draw(self) -> NDArray[np.uint8]:
        """Return the class of every pixel, uint8 (H, W), 255 where instances overlap.

        Raises DataError for a shape that cannot be drawn, and a size that memory is not enough for.
        """
        height, width = self.size
        refuse_beyond(height * width * _BYTES_PER_PIXEL, f"an image of {width}x{height} pixels")
        label = np.zeros(self.size, np.uint8)
        covered = np.zeros(self.size, np.uint8)
        for shape in self.shapes:
            inside = _filled(shape, self.size)
            label[inside] = shape.label
            covered += inside & (covered < 2)
        label[covered > 1] = VOID
        return label


def require_pycocotools() -> None:
    """Raise DataError, saying how to get it, when pycocotools is not there."""
    if find_spec("pycocotools") is None:
        raise DataError(EXTRA)


def _filled(one: Instance, size: tuple[int, int]) -> NDArray[np.bool_]:
    shape = one.segmentation
    if isinstance(shape, dict) and (other := other_size(shape, size)):
        raise DataError(
            f"annotation {one.annotation} is {other[1]}x{other[0]}, its image {size[1]}x{size[0]}"
        )
    try:
        return run_lengths(shape, size) if isinstance(shape, dict) else _polygons(shape, size)
    except ValueError as error:
        raise DataError(
            f"annotation {one.annotation} has no shape that can be drawn ({error})"
        ) from error


def _polygons(shape: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    from pycocotools import mask as coco  # an extra

    polygons = checked_polygons(shape, size)
    # merged first: every plane that is decoded is as large as the image
    drawn: NDArray[np.uint8] = coco.decode(coco.merge(coco.frPyObjects(polygons, *size)))
    return drawn.astype(bool)
