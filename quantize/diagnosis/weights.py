"""The weights of each layer against those of fp32, whatever the activations do."""

from collections.abc import Collection
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from export.onnx_graph.graph import attribute, initializers
from quantize.diagnosis.errors import energy, sqnr_db
from quantize.lossless.groups import parted
from quantize.lossless.pixels import separated

FLOAT16_NOISE = 2.0**-22 / 3
"""Energy of float16's rounding / energy of the values: errors spread evenly up to 2**-11."""
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)


@dataclass(frozen=True)
class WeightError:
    """`sqnr_db` against fp32, None where a rewrite rescaled the layer.

    `rounding` is the energy of the noise that rounding to the stored type makes, relative to that
    of the weights: a step of `scale` makes scale**2 / 12 in the mean. `finite`: no inf or NaN.
    """

    sqnr_db: float | None
    rounding: float
    finite: bool


def weight_errors(
    fp32: ModelProto,
    other: ModelProto,
    rescaled: Collection[str],
    reweighted: Collection[str] = (),
) -> dict[str, WeightError]:
    """Return the error of the weights (constants of two or more axes) by layer name.

    Layers are found again by name; those that read or give a tensor among `rescaled`, and those in
    `reweighted`, have other weights on purpose.
    """
    originals = {node.name: node for node in fp32.graph.node}
    exact, actual = _Constants(fp32), _Constants(other)
    errors = {}
    for node in other.graph.node:
        weights = actual.of(node)
        if not weights:
            continue
        signal = sum(energy(values) for values, _ in weights)
        noise = sum(noise for _, noise in weights)
        original = originals.get(node.name)
        sqnr = None
        around = {*original.input, *original.output, *node.output} if original else set[str]()
        if original and node.name not in reweighted and not around & set(rescaled):
            groups = attribute(original, "group", 1)
            sqnr = _sqnr(exact.of(original), weights, groups)
        relative = noise / signal if isfinite(signal) and signal > 0 else 0.0
        errors[node.name] = WeightError(sqnr, relative, isfinite(signal))
    return errors


Weight = tuple[NDArray[np.float32], float]
"""Values, and the energy of the noise that rounding them makes."""


def _sqnr(exact: list[Weight], actual: list[Weight], groups: int) -> float | None:
    if len(exact) == len(actual) == 1 and exact[0][0].ndim == 4:
        shape, (values, rounding) = exact[0][0].shape, actual[0]
        values = parted(separated(values, shape), shape[1], groups)
        actual = [(values, rounding)]
    if [values.shape for values, _ in exact] != [values.shape for values, _ in actual]:
        return None
    noise = sum(energy(right - left) for (left, _), (right, _) in zip(exact, actual, strict=True))
    return sqnr_db(sum(energy(values) for values, _ in exact), noise)


class _Constants:
    """The float constants of a graph, dequantized where it holds or makes integers of them."""

    def __init__(self, model: ModelProto) -> None:
        self._tensors = initializers(model.graph)
        pairs = ("QuantizeLinear", "DequantizeLinear")
        self._nodes = {n.output[0]: n for n in model.graph.node if n.op_type in pairs}

    def of(self, node: NodeProto) -> list[Weight]:
        """Return the weights that a layer reads."""
        if node.output and node.output[0] in self._nodes:
            return []
        weights = [self._weight(name) for name in node.input]
        return [weight for weight in weights if weight is not None and weight[0].ndim > 1]

    def _weight(self, name: str) -> Weight | None:
        tensor, node = self._tensors.get(name), self._nodes.get(name)
        if tensor is not None and tensor.data_type in _FLOATS:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            half = tensor.data_type == TensorProto.FLOAT16
            return values, FLOAT16_NOISE * energy(values) if half else 0.0
        integers = self._integers(node.input[0]) if node is not None else None
        return None if node is None or integers is None else self._dequantized(node, integers)

    def _integers(self, name: str) -> NDArray[Any] | None:
        """Return constants, those that a QuantizeLinear makes of float ones among them."""
        if name in self._tensors:
            return numpy_helper.to_array(self._tensors[name])
        node = self._nodes.get(name)
        if node is None or node.input[0] not in self._tensors:
            return None
        values = numpy_helper.to_array(self._tensors[node.input[0]])
        scale, zero = self._grid(node, values.ndim)
        limits = np.iinfo(zero.dtype)
        integers: NDArray[Any] = np.clip(np.rint(values / scale) + zero, limits.min, limits.max)
        return integers

    def _dequantized(self, node: NodeProto, integers: NDArray[Any]) -> Weight:
        scale, zero = self._grid(node, integers.ndim)
        noise = energy(np.broadcast_to(scale, integers.shape)) / 12
        return scale * (integers.astype(np.float32) - zero.astype(np.float32)), noise

    def _grid(self, node: NodeProto, axes: int) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Return scale and zero point, shaped along the node's axis where there are several."""
        parts = [numpy_helper.to_array(self._tensors[name]) for name in node.input[1:]]
        shape = [1] * axes
        if parts[0].size > 1:
            shape[attribute(node, "axis", 1)] = -1
        zero = parts[1] if len(parts) > 1 else np.zeros(parts[0].shape, np.uint8)
        return parts[0].astype(np.float32).reshape(shape), zero.reshape(shape)
