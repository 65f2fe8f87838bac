"""Scales of constants: what weights are rounded by, and what onnxruntime's quantizer is told."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper
from onnxruntime.quantization import QuantType

from export.onnx_graph.graph import attribute, initializers
from quantize.graph.rounded_weight import RoundedWeight
from quantize.target import Integers, Target

QUANT_TYPES = {
    "int8": QuantType.QInt8,
    "uint8": QuantType.QUInt8,
    "int16": QuantType.QInt16,
    "uint16": QuantType.QUInt16,
}
"""What onnxruntime calls the types."""

WEIGHTED = ("Conv", "Gemm", "MatMul")
_ELEMENTWISE = ("Add", "Mul", "Concat", "PRelu")


def weight_scale(
    values: NDArray[np.float32], target: Target, axis: int = 0, operator: str = "Conv"
) -> NDArray[np.float32]:
    """Return the scales, one or one per index of `axis`, that make the largest |value| weight_max.

    A channel of zeros takes the largest scale of the others, for its bias is rounded to it.
    """
    per_channel = target.has_channels(operator)
    others = tuple(i for i in range(values.ndim) if i != axis) if per_channel else None
    scale = np.abs(values.astype(np.float64)).max(axis=others).reshape(-1) / target.weight_max
    scale[scale < np.finfo(np.float32).tiny] = scale.max() or 1.0
    return np.asarray(power_of_two(scale) if target.power_of_two else scale, np.float32)


def power_of_two(scale: Any) -> Any:
    """Return the smallest power of two that is not below `scale` (a number or array above 0)."""
    mantissa, exponent = np.frexp(scale)  # scale = mantissa * 2**exponent, 0.5 <= mantissa < 1
    return np.ldexp(1.0, exponent - (mantissa == 0.5))


def fix_weights(
    model: ModelProto,
    nodes: Sequence[NodeProto],
    target: Target,
    weights: Mapping[str, RoundedWeight],
    wide: Collection[str],
) -> dict[str, list[dict[str, Any]]]:
    """Return overrides that fix the scale of every constant the layers read, put weights on grid.

    On the grid, onnxruntime finds exactly the integers of `weights` again. Weights of the layers
    `wide` take the target's wide type.
    """
    constants = initializers(model.graph)
    overrides = {}
    for node in nodes:
        if node.op_type in target.fixed:
            fixed, zero = target.fixed[node.op_type]
            overrides[node.output[0]] = _fixed(
                np.array([fixed], np.float32), target.activation, None, zero
            )
        if node.op_type in WEIGHTED and node.input[1] in constants:
            name = node.input[1]
            values = numpy_helper.to_array(constants[name])
            axis = _channel_axis(node, values.ndim)
            grid = target.widened if node.name in wide else target
            scale = weight_scale(values, grid, axis, node.op_type)
            if name in weights and grid is target:
                scale = weights[name].scale
                _put_on_grid(constants[name], weights[name], axis)
            overrides[name] = _fixed(
                scale, grid.weight, axis if target.has_channels(node.op_type) else None
            )
        elif node.op_type == "MatMul" and node.input[0] in constants:
            largest = float(np.abs(numpy_helper.to_array(constants[node.input[0]])).max())
            overrides[node.input[0]] = _fixed(_fine(largest), target.activation, None)
        elif node.op_type in _ELEMENTWISE and target.power_of_two:
            for name in set(node.input) & constants.keys():
                largest = np.abs(numpy_helper.to_array(constants[name])).max()
                scale = power_of_two(np.atleast_1d(largest / 127 or 1.0))
                overrides[name] = _fixed(scale, target.activation, None)
    return overrides


def _fine(largest: float) -> NDArray[np.float32]:
    """Return the smallest power of two that reaches `largest` in 127 steps, (1,).

    It holds the quarters and eighths of a bilinear interpolation without rounding them.
    """
    return np.atleast_1d(np.float32(power_of_two((largest or 1.0) / 127)))


def _channel_axis(node: NodeProto, rank: int) -> int:
    """Return the axis of the output channels in a layer's weight."""
    if node.op_type == "Conv" or attribute(node, "transB"):
        return 0
    return rank - 1


def _put_on_grid(constant: TensorProto, rounded: RoundedWeight, axis: int) -> None:
    shape = [1] * rounded.integers.ndim
    shape[axis] = rounded.scale.size
    on_grid = (rounded.integers * rounded.scale.reshape(shape)).astype(np.float32)
    constant.CopyFrom(numpy_helper.from_array(on_grid, constant.name))


def _fixed(
    scales: NDArray[np.float32], kind: Integers, axis: int | None, zero: int = 0
) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = [
        {
            "quant_type": QUANT_TYPES[kind],
            "scale": np.array(scale, np.float32),
            "zero_point": np.array(zero, kind),
        }
        for scale in scales
    ]
    if axis is not None:
        entries[0]["axis"] = axis
    return entries
