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
from quantize.search.decision import Reading, looks
from validate.datasets import Dataset
from validate.evaluation import compared_classes
from validate.latency import measure_latency
from validate.metrics import Confusion, confusion, miou
from validate.runtimes import OrtEngine, Runtime
from validate.samples import Labelled, Preparation, ahead

Counts = NDArray[np.int64]


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


class _Score:
    """Counts per image, from which a score and its standard error follow."""

    def __init__(self, artifact: Artifact, dataset: Dataset, preparation: Preparation) -> None:
        self._predictions = _Predictions(artifact, dataset, preparation)
        self._total = len(dataset.items)

    @property
    def images(self) -> tuple[ImageRef, ...]:
        """The images that scores come from."""
        return tuple(self._predictions.images.values())

    def __call__(self, model: ModelProto) -> Iterator[Reading]:
        """Yield readings of `model` on more and more images, the last on all of them."""
        counts: list[Counts] = []
        wanted = looks(self._total)
        for one in self._counts(model):
            counts.append(one)
            if len(counts) in wanted:
                yield self._reading(counts)

    def _reading(self, counts: list[Counts]) -> Reading:
        """Score the sum of the counts; the jackknife over images gives its error (Efron 1982)."""
        summed = np.sum(counts, axis=0)
        n, total = len(counts), self._total
        if n == total:
            return Reading(self._value(summed), 0.0, n, total)
        without = [self._value(summed - one) for one in counts]
        # drawn without replacement, so the error vanishes with the last image
        error = np.std(without) * np.sqrt((n - 1) * (1 - n / total))
        return Reading(self._value(summed), float(error), n, total)

    def _counts(self, model: ModelProto) -> Iterator[Counts]:
        raise NotImplementedError

    def _value(self, summed: Counts) -> float:
        raise NotImplementedError


class Drop(_Score):
    """Points of mIoU that a network loses against fp32; negative where it gains.

    Raises UsageError for images without labels, DataError where no pixel is labelled.
    """

    def __init__(self, artifact: Artifact, dataset: Dataset, preparation: Preparation) -> None:
        if not dataset.labelled:
            raise UsageError(
                f"--max-drop: data {dataset.name}:{dataset.split} has no labels; "
                "use --min-agreement, which needs none"
            )
        super().__init__(artifact, dataset, preparation)
        self._classes = preparation.classes
        self._fp32 = list(self._confusions(None))
        if miou(np.sum(self._fp32, axis=0)) is None:
            raise DataError("--max-drop: no pixel of the scoring images is labelled")

    def _counts(self, model: ModelProto) -> Iterator[Counts]:
        for fp32, found in zip(self._fp32, self._confusions(model), strict=True):
            yield np.stack([fp32, found])

    def _value(self, summed: Counts) -> float:
        fp32, found = (miou(one) for one in summed)
        return float("nan") if fp32 is None or found is None else fp32 - found

    def _confusions(self, model: ModelProto | None) -> Iterator[Confusion]:
        for image, classes in self._predictions.of(model):
            assert image.label is not None  # the data set is labelled
            yield confusion(image.label, classes, self._classes)


class Agreement(_Score):
    """Percent of pixels to which a network gives the class that fp32 gives.

    The fp32 classes wait in an unnamed file, so memory does not grow with the images.
    """

    def __init__(self, artifact: Artifact, dataset: Dataset, preparation: Preparation) -> None:
        super().__init__(artifact, dataset, preparation)
        self._fp32 = tempfile.TemporaryFile()  # noqa: SIM115, as old as this object gets
        weakref.finalize(self, self._fp32.close)
        for _, classes in self._predictions.of(None):
            np.save(self._fp32, classes)

    def _counts(self, model: ModelProto) -> Iterator[Counts]:
        self._fp32.seek(0)
        for _, classes in self._predictions.of(model):
            same = np.count_nonzero(classes == np.load(self._fp32))
            yield np.array([same, classes.size], np.int64)

    def _value(self, summed: Counts) -> float:
        return 100 * float(summed[0] / summed[1])


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
