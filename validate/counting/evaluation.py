"""Run artifacts over a data set, image by image, and keep what comparisons need."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from export.artifact.class_map import largest
from export.common.errors import DataError
from export.common.progress import Progress, silent
from validate.counting.rows import Rows
from validate.data.items import Dataset
from validate.metrics.agreement import boundary, count_image
from validate.metrics.metrics import Confusion, confusion
from validate.result.evidence import Evidence
from validate.runtime.engine import Runtime
from validate.samples.protocols import get_protocol
from validate.samples.samples import AHEAD, Labelled, Preparation, ahead

See = Callable[[Labelled, Mapping[str, NDArray[np.uint8]]], None]
"""Looks at an image and what every artifact predicts for it."""


class Evaluation:
    """What one artifact predicted, counted image by image in list order.

    `nonfinite` lists images whose logits held inf or NaN.
    """

    def __init__(self) -> None:
        self.nonfinite: list[str] = []
        self._images: list[str] = []
        self._labels, self._against, self._near = Rows(), Rows(), Rows()

    def add(
        self,
        image: Labelled,
        predicted: NDArray[np.uint8],
        expected: NDArray[np.uint8],
        near: NDArray[np.bool_],
        classes: int,
    ) -> None:
        """Count an image: `predicted` by its label, if it has one, and by the reference's classes,
        `expected`; pixels that are `near` a border apart. All are (h, w)."""
        if image.label is not None:
            self._labels.append(confusion(image.label, predicted, classes))
        self._against.append(confusion(expected, predicted, classes))
        counts = count_image(image.sample.id, predicted == expected, near)
        self._near.append(np.array((counts.near, counts.near_agreeing), np.int64))
        self._images.append(image.sample.id)

    def extend(self, images: Sequence[str], counted: Evidence) -> None:
        """Append images that were counted elsewhere, in list order; `counted` is complete."""
        assert counted.against is not None and counted.near is not None
        for rows, part in (
            (self._labels, counted.labels),
            (self._against, counted.against),
            (self._near, counted.near),
        ):
            for row in () if part is None else part:
                rows.append(row)
        self._images += images
        if counted.nonfinite is not None:
            self.nonfinite += [images[int(i)] for i in np.flatnonzero(counted.nonfinite)]

    @property
    def fidelity(self) -> Confusion | None:
        """The matrices against the reference, added up; None before the first image."""
        against = self._against.array()
        return None if against is None else against.sum(0)

    def evidence(self) -> Evidence:
        """Return what was counted as arrays over the images."""
        broken = set(self.nonfinite)
        return Evidence(
            self._labels.array(),
            self._against.array(),
            self._near.array(),
            np.array([id in broken for id in self._images], np.bool_),
        )


def evaluate(
    runtimes: Mapping[str, Runtime],
    reference: str,
    dataset: Dataset,
    preparation: Preparation,
    *,
    see: See = lambda image, predicted: None,
    progress: Progress = silent,
    depth: int = AHEAD,
) -> dict[str, Evaluation]:
    """Predict every image with every runtime, `depth` images decoded ahead by a thread, if any.

    `reference` is a key of `runtimes`. `see` is shown every image once. Raises
    DataError for unusable images or masks.
    """
    evaluations = {key: Evaluation() for key in runtimes}
    total = len(dataset.items)
    if total == 0:
        raise DataError(f"data {dataset.name}:{dataset.split}: no images to validate on")
    # Counting here added 23 ms to 231; in a thread, while the next image is inferred, 44 ms:
    # torch and onnxruntime split their work evenly and wait for the core that does something else.
    for done, image in enumerate(ahead(preparation.labelled, dataset.items, depth), start=1):
        predicted = {
            key: _predict(runtime, image, preparation, evaluations[key])
            for key, runtime in runtimes.items()
        }
        expected = predicted[reference]
        # as in fidelity, the reference stands in for a label that is not there
        near = boundary(expected if image.label is None else image.label)
        for key, classes in predicted.items():
            evaluations[key].add(image, classes, expected, near, preparation.classes)
        see(image, predicted)
        progress(done, total)
    return evaluations


def _predict(
    runtime: Runtime, image: Labelled, preparation: Preparation, evaluation: Evaluation
) -> NDArray[np.uint8]:
    """Return the class of every pixel, and note an image whose logits are not finite."""
    outputs = runtime.engine.outputs(image.sample.image)
    logits = outputs.get("logits")
    if logits is not None and not _finite(logits):
        evaluation.nonfinite.append(image.sample.id)
    return compared_classes(runtime, outputs, image, preparation)


def compared_classes(
    runtime: Runtime,
    outputs: dict[str, NDArray[Any]],
    image: Labelled,
    preparation: Preparation,
) -> NDArray[np.uint8]:
    """Return the class of every pixel, uint8 (h, w), at the size the protocol compares at."""
    if not get_protocol(preparation.protocol).at_image_size:
        classes: NDArray[np.uint8] = runtime.mask(outputs)[0]
        return classes
    return at_size(outputs, image.image_size)


def _finite(logits: NDArray[np.floating]) -> bool:
    """Whether no value is inf or NaN; a sum tells, and is faster than looking at each.

    One in float32 is faster still, but may overflow where all values are finite.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        return bool(np.isfinite(logits.sum()) or np.isfinite(logits.sum(dtype=np.float64)))


def at_size(outputs: Mapping[str, NDArray[np.generic]], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize a prediction to `size` (height, width) and return its classes, uint8.

    Logits (1, C, h, w) are resized bilinearly before the argmax; where an artifact has only
    a mask (1, h, w), the nearest pixel is taken.
    """
    target = (size[1], size[0])
    if "logits" not in outputs:
        mask = Image.fromarray(outputs["mask"][0].astype(np.uint8))
        return np.asarray(mask.resize(target, Image.Resampling.NEAREST))
    # plane by plane: all of them at the size of a large picture are gigabytes
    return largest(
        np.asarray(
            Image.fromarray(plane.astype(np.float32)).resize(target, Image.Resampling.BILINEAR)
        )
        for plane in outputs["logits"][0]
    )
