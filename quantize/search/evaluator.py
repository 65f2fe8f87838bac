"""What quantizing some layers and no others does to the logits of a few images."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, ValueInfoProto

from export.artifact import Sample
from export.class_map import class_map
from export.graph import dims, float_tensors, infer_shapes
from export.sessions import open_session, run

Build = Callable[[Collection[str]], ModelProto]
"""Makes the network that keeps the layers of these names in float."""


@dataclass(frozen=True)
class Effect:
    """Distance from the float logits.

    `disagreement` is the share of pixels whose argmax changed, percent; `noise` the sum of squared
    differences of the logits / the sum of their squares.
    """

    disagreement: float
    noise: float


class Evaluator:
    """Compares networks with `fp32`, whose logits on `samples` are computed once and kept.

    What is compared is the first output, or the float tensor that an argmax makes it from.
    """

    def __init__(self, fp32: ModelProto, samples: Sequence[Sample]) -> None:
        batch = dims(fp32.graph.input[0])[0] or 1
        self._images = [np.repeat(sample.image, batch, axis=0) for sample in samples]
        self._tensor = _logits(fp32)
        self._logits = self._run(fp32)
        self._classes = [class_map(logits) for logits in self._logits]

    def measure(self, model: ModelProto) -> Effect:
        """Return how far the logits of `model` are from those of fp32."""
        changed = pixels = 0
        signal = noise = 0.0
        for found, logits, classes in zip(
            self._run(model), self._logits, self._classes, strict=True
        ):
            changed += int(np.count_nonzero(class_map(found) != classes))
            pixels += classes.size
            signal += float(np.square(logits, dtype=np.float64).sum())
            noise += float(np.square(found - logits, dtype=np.float64).sum())
        return Effect(100 * changed / pixels, noise / signal if signal else float(noise > 0))

    def _run(self, model: ModelProto) -> list[NDArray[np.float32]]:
        copy = ModelProto()
        copy.CopyFrom(model)
        del copy.graph.output[:]
        copy.graph.output.append(ValueInfoProto(name=self._tensor))
        session = open_session(copy.SerializeToString())
        return [np.asarray(run(session, image)[0])[:1] for image in self._images]


def _logits(model: ModelProto) -> str:
    floats = float_tensors(infer_shapes(model))
    producers = {name: node for node in model.graph.node for name in node.output}
    name = str(model.graph.output[0].name)
    while name not in floats:
        name = producers[name].input[0]
    return name
