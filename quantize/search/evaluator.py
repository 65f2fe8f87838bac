"""What quantizing some units does to the logits of a few images."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from export.artifact import Sample
from export.class_map import class_map
from export.graph import dims
from export.sessions import open_session
from quantize.search.switchable import FLAGS


@dataclass(frozen=True)
class Effect:
    """Distance from the float logits.

    `disagreement` is the share of pixels whose argmax changed, percent; `sqnr` is
    10 log10(sum of squared float logits / sum of squared differences), dB, inf for none.
    """

    disagreement: float
    sqnr: float


class Evaluator:
    """Runs a switchable graph; the float logits of `samples` are computed once and kept."""

    def __init__(self, model: ModelProto, units: int, samples: Sequence[Sample]) -> None:
        batch = dims(next(i for i in model.graph.input if i.name != FLAGS))[0] or 1
        self._session = open_session(model.SerializeToString())
        self._input = next(i.name for i in self._session.get_inputs() if i.name != FLAGS)
        self._units = units
        self._images = [np.repeat(sample.image, batch, axis=0) for sample in samples]
        self._logits = [self._run(image, ()) for image in self._images]
        self._classes = [class_map(logits) for logits in self._logits]

    def measure(self, quantized: Iterable[int]) -> Effect:
        """Return the effect of quantizing the units at these positions and no others."""
        flags = tuple(quantized)
        changed = pixels = 0
        signal = noise = 0.0
        for image, logits, classes in zip(self._images, self._logits, self._classes, strict=True):
            found = self._run(image, flags)
            changed += int(np.count_nonzero(class_map(found) != classes))
            pixels += classes.size
            signal += float(np.square(logits, dtype=np.float64).sum())
            noise += float(np.square(found - logits, dtype=np.float64).sum())
        return Effect(100 * changed / pixels, _decibels(signal, noise))

    def _run(self, image: NDArray[np.float32], quantized: Sequence[int]) -> NDArray[np.float32]:
        flags = np.zeros(self._units, bool)
        flags[list(quantized)] = True
        feeds = {self._input: image, FLAGS: flags}
        return np.asarray(self._session.run(None, feeds)[0])[:1]


def _decibels(signal: float, noise: float) -> float:
    if noise == 0:
        return float("inf")
    return float(10 * np.log10(signal / noise)) if signal > 0 else float("-inf")
