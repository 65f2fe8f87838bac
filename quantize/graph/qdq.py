"""Put Q/DQ pairs into a float graph, through onnxruntime's quantizer."""

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from export.onnx_graph.graph import (
    attribute,
    captured,
    consumers,
    initializers,
    rename_reads,
)
from quantize.graph.clips import CLIPPING, uncut
from quantize.graph.kept_float import keep_weights_float
from quantize.graph.opsets import at_opset
from quantize.graph.rounded_weight import RoundedWeight
from quantize.graph.scaling import read_scaled
from quantize.graph.shared_weights import separate_weights
from quantize.ranges.ranges import Range
from quantize.targets import Integers, Target

_TYPES = {
    "int8": QuantType.QInt8,
    "uint8": QuantType.QUInt8,
    "int16": QuantType.QInt16,
    "uint16": QuantType.QUInt16,
}
WEIGHTED = ("Conv", "Gemm", "MatMul")
_ELEMENTWISE = ("Add", "Mul", "Concat", "PRelu")
_DEQUANTIZE = "DequantizeLinear"


def insert_qdq(
    model: ModelProto,
    layers: Sequence[str],
    target: Target,
    ranges: Mapping[str, Range],
    weights: Mapping[str, RoundedWeight],
    *,
    wide: Collection[str] = (),
    fold_clips: bool = True,
) -> ModelProto:
    """Return a copy of `model` with Q/DQ pairs around `layers` as `target` wants them.

    Weights in `weights` are quantized to exactly their integers, others to the nearest, and those
    of the layers `wide` to the nearest of the target's wide type. With
    `fold_clips` a Relu or Clip goes where the range of the Q behind it cuts as it does.
    """
    copy = at_opset(model, target.opset)
    nodes = [node for node in copy.graph.node if node.name in set(layers)]
    bare = bare_tensors(copy, nodes, target)
    cut = _cut(copy)
    kept = uncut(copy, set(layers), ranges)
    quantizer = QDQQuantizer(
        copy,
        target.per_channel,
        False,
        _TYPES[target.weight],
        _TYPES[target.activation],
        TensorsData(CalibrationMethod.MinMax, _tensor_data(ranges, target)),
        [name for name in layers if not fold_clips or name not in kept],
        [],
        list(target.operators),
        _options(target)
        | {"TensorQuantOverrides": _fix_weights(copy, nodes, target, weights, wide)}
        | {"QDQKeepRemovableActivations": not fold_clips},
    )
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        quantizer.quantize_model()
    finally:
        logging.disable(disabled)
    quantized: ModelProto = quantizer.model.model
    _feed_subgraphs(quantized)
    _remove_pairs(quantized, bare)
    separate_weights(quantized)
    if target.machines:
        read_scaled(quantized, cut)
        keep_weights_float(quantized)
    return quantized


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


def bare_tensors(model: ModelProto, nodes: Sequence[NodeProto], target: Target) -> set[str]:
    """Return the tensors on which the target's kernels are fused, so that no Q may stand there.

    They are results that only one layer reads: of a convolution before a Relu or Clip, which
    onnxruntime itself merges only for asymmetric activations; and, of an Add's two inputs,
    that of the convolution that is computed last, as the other is there by then. And they are
    results in float that only float layers read, where the kernel can give them.
    """
    readers = consumers(model.graph)
    outputs = {value.name for value in model.graph.output}
    order = {
        node.output[0]: index
        for index, node in enumerate(model.graph.node)
        if node.op_type == "Conv"
        and len(readers[node.output[0]]) == 1
        and node.output[0] not in outputs
    }
    names = {node.name for node in nodes}
    bare = {
        node.output[0]
        for node in nodes
        if node.op_type in target.float_results
        # onnxruntime makes a float Gemm of a product and a sum that it finds one behind the other
        and not any(r.name in names or r.op_type == "Add" for r in readers[node.output[0]])
        and node.output[0] not in outputs
    }
    for node in nodes:
        fusible = [name for name in node.input if name in order]
        merges = node.op_type in CLIPPING and target.symmetric
        adds = node.op_type == "Add" and target.residual_only
        if fusible and (merges or adds):
            bare.add(max(fusible, key=lambda name: order[name]))
    return bare


def _cut(model: ModelProto) -> set[str]:
    """Return the layers whose results a Relu or Clip reads, which their Q may replace."""
    makers = {name: node.name for node in model.graph.node for name in node.output}
    return {
        makers[node.input[0]]
        for node in model.graph.node
        if node.op_type in CLIPPING and node.input[0] in makers
    }


def _options(target: Target) -> dict[str, Any]:
    return {
        "ActivationSymmetric": target.symmetric,
        "AddQDQPairToWeight": target.float_weights,
        "QuantizeBias": target.quantized_bias,
        # else what pools is left out where what it reads is quantized for a later layer's sake
        "ForceQuantizeNoInputCheck": target.everything,
        "QDQDisableWeightAdjustForInt32Bias": not target.quantized_bias,
        "OpTypesToExcludeOutputQuantization": []
        if target.quantized_outputs
        else list(target.operators),
        **target.options,
    }


def _tensor_data(
    ranges: Mapping[str, Range], target: Target
) -> dict[str, TensorData | tuple[Any, ...]]:
    if target.power_of_two:
        ranges = {name: _shiftable(*bounds) for name, bounds in ranges.items()}
    return {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high))
        for name, (low, high) in ranges.items()
    }


def _fine(largest: float) -> NDArray[np.float32]:
    """Return the smallest power of two that reaches `largest` in 127 steps, (1,).

    It holds the quarters and eighths of a bilinear interpolation without rounding them.
    """
    return np.atleast_1d(np.float32(power_of_two((largest or 1.0) / 127)))


def _shiftable(low: float, high: float) -> Range:
    """Widen a range so that the scale of signed symmetric integers becomes a power of two."""
    largest = max(abs(low), abs(high)) or 127.0
    reach = 127 * float(power_of_two(largest / 127))
    return -reach, reach


def _fix_weights(
    model: ModelProto,
    nodes: Sequence[NodeProto],
    target: Target,
    weights: Mapping[str, RoundedWeight],
    wide: Collection[str],
) -> dict[str, list[dict[str, Any]]]:
    """Return overrides that fix the scale of every constant the layers read, put weights on grid.

    On the grid, onnxruntime finds exactly the integers of `weights` again.
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
            "quant_type": _TYPES[kind],
            "scale": np.array(scale, np.float32),
            "zero_point": np.array(zero, kind),
        }
        for scale in scales
    ]
    if axis is not None:
        entries[0]["axis"] = axis
    return entries


def _feed_subgraphs(model: ModelProto) -> None:
    """Let branches and loop bodies read what the layers beside them read: behind the pair.

    onnxruntime's quantizer leaves them the float tensor, and then its layer is not run in int8.
    """
    dequantized = {n.input[0]: n.output[0] for n in model.graph.node if n.op_type == _DEQUANTIZE}
    pairs = {
        node.input[0]: dequantized[node.output[0]]
        for node in model.graph.node
        if node.op_type == "QuantizeLinear" and node.output[0] in dequantized
    }
    for node in model.graph.node:
        if captured(node):
            rename_reads(node, pairs)


def _remove_pairs(model: ModelProto, tensors: Collection[str]) -> None:
    graph = model.graph
    readers = consumers(graph)
    removed: list[NodeProto] = []
    for quantize in [n for n in graph.node if n.op_type == "QuantizeLinear"]:
        if quantize.input[0] not in tensors:
            continue
        (dequantize,) = readers[quantize.output[0]]
        for reader in readers[dequantize.output[0]]:
            rename_reads(reader, {dequantize.output[0]: quantize.input[0]})
        removed += [quantize, dequantize]
    for node in removed:
        graph.node.remove(node)
