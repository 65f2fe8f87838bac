"""Put Q/DQ pairs into a float graph, through onnxruntime's quantizer."""

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from export.onnx_graph.graph import captured, rename_reads
from quantize.graph.clips import CLIPPING, uncut
from quantize.graph.insertion.bare import bare_tensors, remove_pairs
from quantize.graph.insertion.fixed_scales import QUANT_TYPES, fix_weights, power_of_two
from quantize.graph.insertion.scaling import read_scaled
from quantize.graph.insertion.shared_weights import separate_weights
from quantize.graph.kept_float import keep_weights_float
from quantize.graph.opsets import at_opset
from quantize.graph.rounded_weight import RoundedWeight
from quantize.ranges.ranges import Range
from quantize.target import Target

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
    integers = np.iinfo(target.activation)
    kept = uncut(copy, set(layers), ranges, integers.max - integers.min)
    quantizer = QDQQuantizer(
        copy,
        target.per_channel,
        False,
        QUANT_TYPES[target.weight],
        QUANT_TYPES[target.activation],
        TensorsData(CalibrationMethod.MinMax, _tensor_data(ranges, target)),
        [name for name in layers if not fold_clips or name not in kept],
        [],
        list(target.operators),
        _options(target)
        | {"TensorQuantOverrides": fix_weights(copy, nodes, target, weights, wide)}
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
    remove_pairs(quantized, bare)
    separate_weights(quantized)
    if target.machines:
        read_scaled(quantized, cut)
        keep_weights_float(quantized)
    return quantized


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


def _shiftable(low: float, high: float) -> Range:
    """Widen a range so that the scale of signed symmetric integers becomes a power of two."""
    largest = max(abs(low), abs(high)) or 127.0
    reach = 127 * float(power_of_two(largest / 127))
    return -reach, reach


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
