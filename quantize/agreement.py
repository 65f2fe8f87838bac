"""How far two networks' classes agree on an image, over all pixels and in what is its subject.

Of most photos one class, often background, covers more than half: a network that has lost all
others agrees on these pixels still. So the rest is looked at by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.artifact.artifact import Artifact
from export.artifact.class_map import classes_of
from export.artifact.sample import Sample
from export.artifact.second_size import second_size
from export.ort.sessions import open_session, run

_LEAST = 0.01
"""Share of an image that objects cover; edges of less are noise."""


@dataclass(frozen=True)
class Agreement:
    """Percent of an image's pixels with equal classes.

    `objects` is that of the pixels to which one of both gives another class than the image's
    commonest: an intersection over union. None where there is next to nothing else.
    """

    pixels: float
    objects: float | None


BySize = Mapping[str, Agreement]
"""By the size an image was judged at, such as 513x513."""


def agreement_of(reference: NDArray[np.integer], other: NDArray[np.integer]) -> Agreement:
    """Compare two class maps of one shape."""
    equal = reference == other
    commonest = np.bincount(reference.ravel()).argmax()
    objects = (reference != commonest) | (other != commonest)
    enough = objects.mean() >= _LEAST
    inside = 100 * float(equal[objects].mean()) if enough else None
    return Agreement(100 * float(equal.mean()), inside)


def agreement_with(fp32: Artifact, made: Artifact) -> Callable[[Sample], BySize]:
    """Return what gives an image's agreement of a file with fp32, by size.

    Networks that take any size are judged at that of the image and at a smaller one.
    """
    one, other = open_session(fp32.path), open_session(made.path)
    batch = fp32.manifest.input.shape[0] or 1
    free = None in fp32.manifest.input.shape[2:]
    kind = np.float16 if made.manifest.input.dtype == "float16" else np.float32

    def agreement(sample: Sample) -> BySize:
        found = {}
        for image in [sample.image, *([_smaller(sample.image)] if free else [])]:
            repeated = np.repeat(image, batch, axis=0)
            wanted = classes_of(run(one, repeated)[0])
            actual = classes_of(run(other, repeated.astype(kind))[0])
            found["x".join(map(str, image.shape[2:]))] = agreement_of(wanted, actual)
        return found

    return agreement


def agreements(fp32: Artifact, made: Artifact, images: Sequence[Sample]) -> dict[str, float]:
    """Return the percent of pixels with the class of fp32, by the size they were judged at."""
    return by_size([*map(agreement_with(fp32, made), images)])


def by_size(found: Sequence[BySize]) -> dict[str, float]:
    """Return the images' mean percent of pixels, by size."""
    sizes = dict.fromkeys(size for one in found for size in one)
    return {
        size: float(np.mean([one[size].pixels for one in found if size in one])) for size in sizes
    }


def _smaller(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take pixels evenly, as many as `second_size` says."""
    sides = image.shape[2:]
    rows, columns = (
        np.arange(count) * side // count
        for side, count in zip(sides, second_size(sides), strict=True)
    )
    return image[:, :, rows][:, :, :, columns]
