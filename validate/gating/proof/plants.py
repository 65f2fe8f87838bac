"""Regressions to plant into per-image counts: what breaks in practice, by name and strength.

Each takes confusion matrices (images, classes, classes), rows = label, and moves pixels to wrong
columns, more of them with more `strength` (0 to 1): none at 0. `choice` draws among images and
classes. Rows keep their sums: the labels stay as they are.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Matrices = NDArray[np.int64]
Plant = Callable[[Matrices, float, np.random.Generator], Matrices]


def of_images(matrices: Matrices, strength: float, choice: np.random.Generator) -> Matrices:
    """Answer a share of the images with one class everywhere, as a broken batch is."""
    order = choice.permutation(len(matrices))
    wrong = int(choice.integers(matrices.shape[1]))
    reach = strength * len(matrices)
    shares = np.zeros(len(matrices))
    shares[order] = np.clip(reach - np.arange(len(matrices)), 0, 1)
    return _moved(matrices, np.broadcast_to(shares[:, None], matrices.shape[:2]), wrong)


def of_class(matrices: Matrices, strength: float, choice: np.random.Generator) -> Matrices:
    """Answer a share of one class's right pixels with another class."""
    there = np.flatnonzero(np.einsum("nii->i", matrices) > 0)
    lost = int(choice.choice(there)) if len(there) else 0
    others = [index for index in range(matrices.shape[1]) if index != lost]
    wrong = int(choice.choice(others))
    hits = matrices[:, lost, lost]
    moved = np.rint(strength * hits).astype(np.int64)
    changed = matrices.copy()
    changed[:, lost, lost] -= moved
    changed[:, lost, wrong] += moved
    return changed


def of_region(matrices: Matrices, strength: float, choice: np.random.Generator) -> Matrices:
    """Answer the same share of every image, whatever is there, with one class."""
    wrong = int(choice.integers(matrices.shape[1]))
    return _moved(matrices, np.full(matrices.shape[:2], strength), wrong)


def uniform(matrices: Matrices, strength: float, choice: np.random.Generator) -> Matrices:
    """Answer a share of all right pixels with the other classes, as many with each."""
    others = max(matrices.shape[1] - 1, 1)
    hits = np.diagonal(matrices, axis1=1, axis2=2)
    share = np.minimum(np.rint(strength * hits / others).astype(np.int64), hits // others)
    changed: Matrices = matrices + share[:, :, None]
    classes = np.arange(matrices.shape[1])
    changed[:, classes, classes] = hits - others * share
    return changed


PLANTS: dict[str, Plant] = {
    "images": of_images,
    "class": of_class,
    "region": of_region,
    "uniform": uniform,
}


def _moved(matrices: Matrices, shares: NDArray[np.float64], wrong: int) -> Matrices:
    """Move a share of every row, (images, classes), to the column `wrong`."""
    moved = np.rint(shares[:, :, None] * matrices).astype(np.int64)
    moved[:, :, wrong] = 0
    changed = matrices - moved
    changed[:, :, wrong] += moved.sum(2)
    return changed
