"""Scores and times of candidate networks against fp32, for the precision search."""

import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from export.artifact import Artifact, ImageRef
from export.errors import DataError, UsageError
from export.sessions import CPU
from quantize.search.budget import Kind
from validate.datasets import Dataset
from validate.evaluation import compared_classes
from validate.latency import measure_latency
from validate.metrics import Confusion, confusion, miou
from validate.runtimes import OrtEngine, Runtime
from validate.samples import Labelled, Preparation, ahead


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
        runtime = _opened(source, self._artifact)
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


def session_times(
    artifact: Artifact, image: NDArray[np.float32], models: Sequence[ModelProto]
) -> list[float]:
    """Return the median milliseconds of each of an artifact's variants, measured in turns.

    `image` is float32 (1, 3, H, W), prepared for the artifact.
    """
    runtimes = {
        str(index): _opened(model.SerializeToString(), artifact)
        for index, model in enumerate(models)
    }
    return [found.session.median for found in measure_latency(runtimes, image).values()]


def _opened(model: Path | bytes, artifact: Artifact) -> Runtime:
    return Runtime("ort-cpu", CPU, OrtEngine(model, artifact.manifest, CPU))


SCORES: dict[Kind, type[Drop] | type[Agreement]] = {
    "max_drop": Drop,
    "min_agreement": Agreement,
}
"""What scores candidates under each kind of budget."""
