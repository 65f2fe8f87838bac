"""Labels that would give a meaningless figure: reported before there is one."""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.artifact.classes import VOID
from export.common.errors import DataError
from export.ort.sessions import threads
from validate.data.instances import Instances
from validate.data.items import Dataset, Item
from validate.samples.labels import read_values
from validate.samples.samples import Preparation
from validate.samples.trap_table import TRAPS

_MUCH_VOID = 0.25
"""Share of the pixels. VOC's border is 5 %, what Cityscapes leaves out 12 %."""


@dataclass(frozen=True)
class Labels:
    """What all masks hold together: their values, and the pixels of each class and of void."""

    images: int
    values: frozenset[int]
    pixels: NDArray[np.int64]
    void: int
    declared: bool

    @property
    def void_share(self) -> float:
        """Return the share of all pixels that count for nothing."""
        return self.void / max(1, self.void + int(self.pixels.sum()))

    @property
    def used(self) -> list[int]:
        """Return the classes that some pixel has."""
        return [int(index) for index in np.flatnonzero(self.pixels)]


def white(labels: Labels) -> str | None:
    """Say what is wrong with white that would count as void, or None."""
    if labels.declared or labels.values != {0, VOID}:
        return None
    return (
        f"the masks hold 0 and {VOID} only, and {VOID} is void by default, so that nothing but 0 "
        f"would count; with --labels binary, {VOID} is class 1"
    )


def absent(labels: Labels) -> str | None:
    """Say what is wrong with a class that void may stand for, or None."""
    absent = np.flatnonzero(labels.pixels == 0)
    if labels.declared or not absent.size or labels.void_share < _MUCH_VOID:
        return None
    others = f" (nor {absent.size - 1} others)" if absent.size > 1 else ""
    return (
        f"no mask holds class {int(absent[0])}{others}, and {100 * labels.void_share:.0f} % of the "
        f"pixels are void ({VOID}), which may be that class; say what the values mean with --labels"
    )


def single(labels: Labels) -> str | None:
    """Say what is wrong with labels of one class, or None."""
    if len(labels.used) > 1:
        return None
    held = f"class {labels.used[0]} only" if labels.used else "void only"
    return f"all {labels.images} masks hold {held}, so that any figure would be of that alone"


def refuse_traps(
    dataset: Dataset, preparation: Preparation, accepted: Collection[str] = ()
) -> None:
    """Raise DataError for labels that would mislead, all of which are read for it.

    `accepted` are names of TRAPS that the user knows of. Instances of COCO say themselves what
    they are.
    """
    if not dataset.labelled or any(isinstance(item.mask, Instances) for item in dataset.items):
        return
    labels = _labels(dataset, preparation)
    for name, trap in TRAPS.items():
        if name not in accepted and (problem := trap.problem(labels)):
            raise DataError(
                f"data {dataset.name}:{dataset.split}: {problem}; if that is right, give "
                f"--accept {name}"
            )


def _labels(dataset: Dataset, preparation: Preparation) -> Labels:
    def held(item: Item) -> tuple[set[int], NDArray[np.int64]]:
        values, indices = read_values(
            item, preparation.classes, preparation.colours, preparation.labels
        )
        counts = np.bincount(indices.reshape(-1).astype(np.int64), minlength=VOID + 1)
        return {int(value) for value in np.unique(values)}, counts

    values: set[int] = set()
    pixels = np.zeros(VOID + 1, np.int64)
    with ThreadPoolExecutor(max_workers=threads()) as pool:
        for there, counts in pool.map(held, dataset.items):
            values |= there
            pixels += counts
    return Labels(
        len(dataset.items),
        frozenset(values),
        pixels[: preparation.classes],
        int(pixels[VOID]),
        preparation.labels.declared,
    )
