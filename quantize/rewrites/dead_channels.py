"""Rewrite: repair of dead channels.

Training can leave output channels whose weights are next to zero. Their scale is then next to
zero too, which runtimes flush to zero or refuse, and their bias, an int32 in units of input
scale x weight scale, does not fit any more unless the scale is widened. Such weights are set to
exactly zero; the quantizer then takes the scale of the other channels and the bias stays exact.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, numpy_helper

from export.onnx_graph.graph import attribute, initializers
from quantize.rewrites.change import Change, Floats, Seen, per_weight, put

SMALLEST_SCALE = 1e-9
"""Scales below this are taken for dead channels by runtimes, and by `segport lint`."""
NEGLIGIBLE = 1e-6
"""A channel that varies by less than this share of its constant part is constant in float32."""
_SUSPICIOUS = 1e-3
_LEVELS = 127
_LISTED = 4


def suspicious_inputs(model: ModelProto) -> set[str]:
    """Name what convolutions read that have output channels with a bias far above their weights."""
    return {layer.node.input[0] for layer in _layers(model) if layer.suspicious.any()}


def repair_dead_channels(model: ModelProto, seen: Seen) -> Change:
    """Set the weights of channels to zero that are constant in float32 already."""
    copy = ModelProto()
    copy.CopyFrom(model)
    constants = initializers(copy.graph)
    repaired = []
    for layer in _layers(copy):
        dead = layer.magnitude.max((1, 2)) < SMALLEST_SCALE * _LEVELS
        if layer.suspicious.any() and layer.node.input[0] in seen:
            extremes = seen[layer.node.input[0]]
            largest = np.maximum(np.abs(extremes.low), np.abs(extremes.high))
            dead |= layer.variation(largest) < NEGLIGIBLE * layer.bias
        dead &= layer.magnitude.max((1, 2)) > 0
        if dead.any():
            tensor = constants[layer.node.input[1]]
            weight = numpy_helper.to_array(tensor).copy()
            weight[dead] = 0
            put(tensor, weight)
            repaired.append(f"{layer.node.name} ({int(dead.sum())})")
    more = f" and {len(repaired) - _LISTED} more" if len(repaired) > _LISTED else ""
    listed = f" in {', '.join(repaired[:_LISTED])}{more}" if repaired else ""
    return Change(copy, f"{len(repaired)} layers with dead channels{listed}")


@dataclass(frozen=True)
class _Layer:
    """`magnitude` is |w| (output channels, input channels per group, positions), `bias` |b|."""

    node: NodeProto
    magnitude: Floats
    bias: Floats

    @property
    def suspicious(self) -> NDArray[np.bool_]:
        """Output channels that inputs of ordinary size could not move."""
        total = self.magnitude.sum((1, 2))
        return np.asarray((total > 0) & (total < _SUSPICIOUS * self.bias))

    def variation(self, largest: NDArray[np.float32]) -> Floats:
        """Return the most that each channel's weights can add, for inputs up to `largest`."""
        groups = attribute(self.node, "group", 1)
        inputs = per_weight(largest.astype(np.float64), groups, len(self.magnitude))
        return np.asarray((self.magnitude.sum(2) * inputs).sum(1))


def _layers(model: ModelProto) -> Iterator[_Layer]:
    constants = initializers(model.graph)
    for node in model.graph.node:
        if node.op_type != "Conv" or node.input[1] not in constants:
            continue
        weight = numpy_helper.to_array(constants[node.input[1]]).astype(np.float64)
        bias = np.zeros(len(weight))
        if len(node.input) > 2 and node.input[2] in constants:
            bias = np.abs(numpy_helper.to_array(constants[node.input[2]]).astype(np.float64))
        yield _Layer(node, np.abs(weight).reshape(*weight.shape[:2], -1), bias)
