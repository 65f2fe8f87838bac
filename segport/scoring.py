"""Scores of candidate networks against fp32 on one set of images, for the precision search."""

import tempfile
import weakref
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from export.artifact import Artifact, ImageRef
from export.errors import DataError, UsageError
from export.sessions import CPU
from quantize.search.budget import Kind
from validate.datasets import Dataset
from validate.evaluation import compared_classes
from validate.metrics import Confusion, confusion, miou
from validate.runtimes import OrtEngine, Runtime
from validate.samples import Labelled, Preparation, ahead

Progress = Callable[[int, int], None]


class _Predictions:
    """Predictions of an artifact's variants on a data set, image by image, decoded ahead."""

    def __init__(self, artifact: Artifact, dataset: Dataset, preparation: Preparation) -> None:
        if not dataset.items:
            raise DataError(f"data {dataset.name}:{dataset.split}: no images to score on")
        self._artifact = artifact
        self._dataset = dataset
        self._preparation = preparation
        self.images: dict[str, ImageRef] = {}

    def of(self, model: ModelProto | None) -> Iterator[tuple[Labelled, NDArray[np.uint8]]]:
        """Yield each image with its predicted classes; those of the artifact itself for None."""
        source = model.SerializeToString() if model is not None else self._artifact.path
        runtime = Runtime("ort-cpu", CPU, OrtEngine(source, self._artifact.manifest, CPU))
        for image in ahead(self._preparation.labelled, self._dataset.items):
            sample = image.sample
            self.images[sample.id] = ImageRef(id=sample.id, sha256=sample.sha256)
            outputs = runtime.engine.outputs(sample.image)
            yield image, compared_classes(runtime, outputs, image, self._preparation)


class Drop:
    """Points of mIoU that a network loses against fp32; negative where it gains.

    Raises UsageError for images without labels, DataError where no pixel is labelled.
    """

    def __init__(self, artifact: Artifact, dataset: Dataset, preparation: Preparation) -> None:
        if not dataset.labelled:
            raise UsageError(
                f"--max-drop: data {dataset.name}:{dataset.split} has no labels; "
                "use --min-agreement, which needs none"
            )
        self._predictions = _Predictions(artifact, dataset, preparation)
        self._classes = preparation.classes
        self._fp32 = self._miou(None)

    @property
    def images(self) -> tuple[ImageRef, ...]:
        """The images that scores come from."""
        return tuple(self._predictions.images.values())

    def __call__(self, model: ModelProto) -> float:
        """Return the drop of `model`."""
        return self._fp32 - self._miou(model)

    def _miou(self, model: ModelProto | None) -> float:
        total: Confusion = np.zeros((self._classes, self._classes), np.int64)
        for image, classes in self._predictions.of(model):
            assert image.label is not None  # the data set is labelled
            total += confusion(image.label, classes, self._classes)
        found = miou(total)
        if found is None:
            raise DataError("--max-drop: no pixel of the scoring images is labelled")
        return found


class Agreement:
    """Percent of pixels to which a network gives the class that fp32 gives.

    The fp32 classes wait in an unnamed file, so memory does not grow with the images.
    """

    def __init__(self, artifact: Artifact, dataset: Dataset, preparation: Preparation) -> None:
        self._predictions = _Predictions(artifact, dataset, preparation)
        self._fp32 = tempfile.TemporaryFile()  # noqa: SIM115, as old as this object gets
        weakref.finalize(self, self._fp32.close)
        for _, classes in self._predictions.of(None):
            np.save(self._fp32, classes)

    @property
    def images(self) -> tuple[ImageRef, ...]:
        """The images that scores come from."""
        return tuple(self._predictions.images.values())

    def __call__(self, model: ModelProto) -> float:
        """Return the agreement of `model`, 0-100."""
        self._fp32.seek(0)
        same = pixels = 0
        for _, classes in self._predictions.of(model):
            same += int(np.count_nonzero(classes == np.load(self._fp32)))
            pixels += classes.size
        return 100 * same / pixels


SCORES: dict[Kind, type[Drop] | type[Agreement]] = {
    "max_drop": Drop,
    "min_agreement": Agreement,
}
"""What scores candidates under each kind of budget."""
