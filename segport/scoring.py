"""Scores and times of candidate networks against fp32, for the precision search."""

import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from export.artifact.artifact import Artifact
from export.artifact.classes import VOID
from export.artifact.manifest import ImageRef
from export.common.errors import DataError, UsageError
from export.ort.sessions import CPU
from quantize.search.budget import Kind
from quantize.search.decision import ScoreReading, looks
from validate.counting.evaluation import compared_classes
from validate.data.items import Dataset
from validate.metrics.metrics import confusion, miou
from validate.runtime.engine import Runtime
from validate.runtime.ort import OrtEngine
from validate.samples.samples import Labelled, Preparation, ahead
from validate.speed.latency import measure_latency

Counts = NDArray[np.int64]


class _Predictions:
    """Predictions of an artifact and its variants on a data set, image by image, decoded ahead.

    The artifact is run on an image when a variant first is, and its classes wait in an unnamed
    file, so that memory does not grow with the images.
    """

    def __init__(self, artifact: Artifact, dataset: Dataset, preparation: Preparation) -> None:
        if not dataset.items:
            raise DataError(f"data {dataset.name}:{dataset.split}: no images to score on")
        self._artifact = artifact
        self._dataset = dataset
        self._preparation = preparation
        self._runtime = _opened(artifact.path, artifact)
        self._kept = tempfile.TemporaryFile()  # noqa: SIM115, as old as this object gets
        weakref.finalize(self, self._kept.close)
        self._end = 0
        self.images: dict[str, ImageRef] = {}

    def of(
        self, model: ModelProto
    ) -> Iterator[tuple[Labelled, NDArray[np.uint8], NDArray[np.uint8]]]:
        """Yield each image with the classes that the artifact and its variant `model` predict."""
        variant = _opened(model.SerializeToString(), self._artifact)
        place = 0
        for image in ahead(self._preparation.labelled, self._dataset.items):
            sample = image.sample
            self._kept.seek(place)
            if place < self._end:
                fp32: NDArray[np.uint8] = np.load(self._kept)
            else:
                fp32 = self._classes(self._runtime, image)
                np.save(self._kept, fp32)
                self._end = self._kept.tell()
                self.images[sample.id] = ImageRef(id=sample.id, sha256=sample.sha256)
            place = self._kept.tell()
            yield image, fp32, self._classes(variant, image)

    def _classes(self, runtime: Runtime, image: Labelled) -> NDArray[np.uint8]:
        outputs = runtime.engine.outputs(image.sample.image)
        return compared_classes(runtime, outputs, image, self._preparation)


class _Score(ABC):
    """Counts per image, from which a score and its standard error follow."""

    def __init__(self, artifact: Artifact, dataset: Dataset, preparation: Preparation) -> None:
        self._predictions = _Predictions(artifact, dataset, preparation)
        self._total = len(dataset.items)

    @property
    def images(self) -> tuple[ImageRef, ...]:
        """The images that scores come from."""
        return tuple(self._predictions.images.values())

    def __call__(
        self, model: ModelProto, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[ScoreReading]:
        """Yield readings of `model` on more and more images, the last on all of them.

        While it shall `stop` each is on those so far, which are 2 at least if there are as many.
        """
        counts: list[Counts] = []
        wanted = looks(self._total)
        for image, fp32, classes in self._predictions.of(model):
            counts.append(self._counts(image, fp32, classes))
            if len(counts) in wanted or (len(counts) > 1 and stop()):
                yield self._reading(counts)

    def _reading(self, counts: list[Counts]) -> ScoreReading:
        """Score the sum of the counts; the jackknife over images gives its error (Efron 1982)."""
        summed = np.sum(counts, axis=0)
        n, total = len(counts), self._total
        if n == total:
            return ScoreReading(self._value(summed), 0.0, n, total)
        without = [self._value(summed - count) for count in counts]
        # drawn without replacement, so the error vanishes with the last image
        error = np.std(without) * np.sqrt((n - 1) * (1 - n / total))
        return ScoreReading(self._value(summed), float(error), n, total)

    @abstractmethod
    def _counts(
        self, image: Labelled, fp32: NDArray[np.uint8], classes: NDArray[np.uint8]
    ) -> Counts: ...

    @abstractmethod
    def _value(self, summed: Counts) -> float: ...


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
        labels = (preparation.labelled(item).label for item in dataset.items)
        if all(label is None or (label == VOID).all() for label in labels):
            raise DataError("--max-drop: no pixel of the scoring images is labelled")

    def _value(self, summed: Counts) -> float:
        fp32, int8 = (miou(counts) for counts in summed)
        return float("nan") if fp32 is None or int8 is None else fp32 - int8

    def _counts(
        self, image: Labelled, fp32: NDArray[np.uint8], classes: NDArray[np.uint8]
    ) -> Counts:
        assert image.label is not None  # the data set is labelled
        return np.stack(
            [confusion(image.label, predicted, self._classes) for predicted in (fp32, classes)]
        )


class Agreement(_Score):
    """Percent of pixels to which a network gives the class that fp32 gives."""

    def _counts(
        self, image: Labelled, fp32: NDArray[np.uint8], classes: NDArray[np.uint8]
    ) -> Counts:
        return np.array([np.count_nonzero(classes == fp32), classes.size], np.int64)

    def _value(self, summed: Counts) -> float:
        return 100 * float(summed[0] / summed[1])


def session_times(
    artifact: Artifact, image: NDArray[np.float32], models: Sequence[ModelProto | Path]
) -> list[float]:
    """Return the median milliseconds of each of an artifact's variants, measured interleaved.

    `image` is float32 (1, 3, H, W), prepared for the artifact.
    """
    runtimes = {
        str(index): _opened(
            model if isinstance(model, Path) else model.SerializeToString(), artifact
        )
        for index, model in enumerate(models)
    }
    return [rounds.session.median for rounds in measure_latency(runtimes, image).values()]


def _opened(model: Path | bytes, artifact: Artifact) -> Runtime:
    return Runtime("ort-cpu", CPU, OrtEngine(model, artifact.manifest, CPU))


SCORES: dict[Kind, type[Drop] | type[Agreement]] = {
    "max_drop": Drop,
    "min_agreement": Agreement,
}
"""What scores candidates under each kind of budget."""
