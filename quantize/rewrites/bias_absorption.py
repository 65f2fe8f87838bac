"""Rewrite: high-bias absorption (Nagel et al. 2019, arXiv:1906.04721).

A channel that is never below c > 0 spends its range on a constant. Where y = relu(x) >= c,
relu(x) = relu(x - c) + c: c leaves the first layer's bias and, through the weights that read y,
enters the bias of the next. The paper takes c from BatchNorm's statistics; here it is what
calibration saw, with a margin. Readers that pad with zeros are left alone: at the border they
would miss the constant.
"""

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from export.onnx_graph.graph import attribute, attributes, consumers, initializers
from quantize.graph.clips import CLIPPING, clip_bounds
from quantize.rewrites.change import MARGIN, Floats, Rescaled, Rewritten, Seen, per_weight, put


def absorb_high_bias(model: ModelProto, seen: Seen) -> Rewritten:
    """Move the constant part of channels that are always on into the next layers' biases."""
    copy = ModelProto()
    copy.CopyFrom(model)
    constants = initializers(copy.graph)
    readers = consumers(copy.graph)
    made = {name: node for node in copy.graph.node for name in node.output}
    rescaled: dict[str, Rescaled] = {}
    moved = 0
    for activation in [n for n in copy.graph.node if n.op_type in CLIPPING]:
        first = made.get(activation.input[0])
        seconds = readers[activation.output[0]]
        if activation.input[0] not in seen or first is None:
            continue
        if not _movable(first, activation, seconds, copy):
            continue
        constant = _always_on(copy, activation, seen)
        if not constant.any():
            continue
        moved += int(np.count_nonzero(constant))
        bias = constants[first.input[2]]
        put(bias, numpy_helper.to_array(bias) - constant)
        for second in seconds:
            bias = constants[second.input[2]]
            put(bias, numpy_helper.to_array(bias) + _passed_on(constants, second, constant))
        for name in (activation.input[0], activation.output[0]):
            rescaled[name] = Rescaled(np.ones_like(constant), constant)
    return Rewritten(copy, f"the constant part of {moved} channels moved on", rescaled)


def _movable(
    first: NodeProto, activation: NodeProto, seconds: list[NodeProto], model: ModelProto
) -> bool:
    constants = initializers(model.graph)
    readers = consumers(model.graph)
    outputs = {value.name for value in model.graph.output}

    def own_weights(node: NodeProto) -> bool:
        return (
            node.op_type == "Conv"
            and len(node.input) == 3
            and all(n in constants and len(readers[n]) == 1 for n in node.input[1:])
        )

    return (
        own_weights(first)
        and len(readers[activation.input[0]]) == 1
        and not outputs & {activation.input[0], activation.output[0]}
        and bool(seconds)
        and all(own_weights(second) and not _pads(second) for second in seconds)
    )


def _pads(node: NodeProto) -> bool:
    given = attributes(node)
    return any(given.get("pads", ())) or given.get("auto_pad", b"")[:4] == b"SAME"


def _always_on(model: ModelProto, activation: NodeProto, seen: Seen) -> Floats:
    """Return what each channel never falls below, 0 where it may be cut from above or below."""
    extremes = seen[activation.input[0]]
    least = np.maximum(np.asarray(extremes.low, np.float64), 0) / MARGIN
    if activation.op_type == "Clip":
        bounds = clip_bounds(model, activation)
        if bounds is None or bounds[0] != 0:
            return np.zeros_like(least)
        least[extremes.high * MARGIN >= bounds[1]] = 0
    return least


def _passed_on(constants: dict[str, TensorProto], node: NodeProto, constant: Floats) -> Floats:
    """Return what a constant input adds to each output channel."""
    weight = numpy_helper.to_array(constants[node.input[1]]).astype(np.float64)
    sums = weight.reshape(*weight.shape[:2], -1).sum(2)
    groups = attribute(node, "group", 1)
    return np.asarray((sums * per_weight(constant, groups, len(weight))).sum(1))
