"""Scenes of PASCAL VOC objects: a picture and the class of every pixel."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from export.artifact.classes import VOC_CLASSES, VOID
from segport.demo import animals, furniture, vehicles
from segport.demo.backgrounds import background
from segport.demo.camera import photograph
from segport.demo.drawing import paint, pose
from segport.demo.parts import Part

SIZES = ((375, 500), (333, 500), (500, 375), (400, 400))
"""(height, width) of pictures, as VOC's vary."""
_MOST_OBJECTS = 5
SMALLEST, _LARGEST = 0.3, 1.0
"""Longer side of an object, as a share of the picture's shorter one."""
_BORDER = 5
_MOST_HIDDEN = 0.5
_ATTEMPTS = 6

OBJECTS: dict[str, Callable[[np.random.Generator], list[Part]]] = {
    "aeroplane": vehicles.aeroplane,
    "bicycle": vehicles.bicycle,
    "bird": animals.bird,
    "boat": vehicles.boat,
    "bottle": furniture.bottle,
    "bus": vehicles.bus,
    "car": vehicles.car,
    "cat": animals.cat,
    "chair": furniture.chair,
    "cow": animals.cow,
    "diningtable": furniture.diningtable,
    "dog": animals.dog,
    "horse": animals.horse,
    "motorbike": vehicles.motorbike,
    "person": animals.person,
    "pottedplant": furniture.pottedplant,
    "sheep": animals.sheep,
    "sofa": furniture.sofa,
    "train": vehicles.train,
    "tvmonitor": furniture.tvmonitor,
}


@dataclass(frozen=True)
class Scene:
    """`image` is uint8 RGB (H, W, 3), `label` uint8 (H, W): 0-20, 255 around every object."""

    image: NDArray[np.uint8]
    label: NDArray[np.uint8]


def scene(number: int, seed: int, *, smallest: float = SMALLEST) -> Scene:
    """Return scene `number` of the endless series `seed`; the same one every time.

    Every twenty scenes in a row show every class at least once; no object is hidden by more
    than half by one that was placed later, but objects may reach beyond the picture.
    """
    rng = np.random.default_rng([seed, number])
    names = VOC_CLASSES[1:]
    height, width = SIZES[int(rng.integers(len(SIZES)))]
    picture = background(height, width, rng)
    instances = np.zeros((height, width), np.uint8)
    classes = [0]
    # the class that is this scene's turn comes last, in front of all others
    wanted = [
        *rng.integers(0, len(names), int(rng.integers(0, _MOST_OBJECTS))),
        number % len(names),
    ]
    for choice in wanted:
        parts = OBJECTS[names[choice]](rng)
        for _ in range(_ATTEMPTS):
            extent = np.exp(rng.uniform(np.log(smallest), np.log(_LARGEST))) * min(height, width)
            margin = 0.25 * extent
            centre = (
                rng.uniform(margin, max(width - margin, margin + 1)),
                rng.uniform(margin, max(height - margin, margin + 1)),
            )
            trial = picture.copy()
            covered = paint(trial, parts, pose(parts, centre, extent, rng), rng)
            if _leaves_enough(instances, covered):
                picture = trial
                instances[covered] = len(classes)
                classes.append(int(choice) + 1)
                break
    label = np.asarray(classes, np.uint8)[instances]
    label[_borders(instances)] = VOID
    return Scene(photograph(picture, rng), label)


def _leaves_enough(instances: NDArray[np.uint8], covered: NDArray[np.bool_]) -> bool:
    before = np.bincount(instances.ravel())
    hidden = np.bincount(instances[covered], minlength=len(before))
    return bool(np.all(hidden[1:] <= _MOST_HIDDEN * before[1:]))


def _borders(instances: NDArray[np.uint8]) -> NDArray[np.bool_]:
    image = Image.fromarray(instances)
    highest = np.asarray(image.filter(ImageFilter.MaxFilter(_BORDER)))
    lowest = np.asarray(image.filter(ImageFilter.MinFilter(_BORDER)))
    borders: NDArray[np.bool_] = highest != lowest
    return borders
