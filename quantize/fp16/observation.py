"""What float16 has to know of a network: values it cannot hold, and inputs of convolutions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from export.artifact.facts import GuardedFacts
from export.onnx_graph.graph import consumers, initializers
from export.onnx_graph.pooling import reduced_axes
from quantize.calibration.measurement import Measurement
from quantize.calibration.statistics import MinMax, PooledSum, Statistic
from quantize.graph.selection import matching_layers, range_sources
from quantize.rounding.moments import InputMoments
from quantize.rounding.rounding import input_moments

FP16_MAX = 65504.0
HEADROOM = 4.0
"""Values on images not seen in calibration may be this many times larger."""


def weights_out_of_range(model: ModelProto) -> list[GuardedFacts]:
    """List layers with a constant beyond 65504, which the converter would silently clip."""
    beyond = []
    constants = initializers(model.graph)
    for node in model.graph.node:
        for name in node.input:
            tensor = constants.get(name)
            if tensor is None or tensor.data_type != TensorProto.FLOAT:
                continue
            largest = float(np.abs(numpy_helper.to_array(tensor)).max(initial=0))
            if largest > FP16_MAX:
                beyond.append(_guarded(node.name, f"weight {name}", largest))
    return beyond


@dataclass(frozen=True)
class Observation:
    """Statistics of one network, which are filled when they are collected.

    `by_request` names the layers that were asked to stay in float, `too_large` lists those with
    constants that float16 cannot hold. `seen` are the extremes of activations, `sources` names the
    one whose extremes a tensor has, `sums` and `moments` are by layer: what poolings add up, and
    the inputs of convolutions that become float16.
    """

    model: ModelProto
    by_request: Collection[str]
    too_large: list[GuardedFacts]
    sources: Mapping[str, str]
    seen: Mapping[str, MinMax]
    sums: Mapping[str, PooledSum]
    moments: dict[str, InputMoments]

    def measurement(self) -> Measurement:
        """Return all statistics, to be collected in one pass."""
        statistics: dict[str, list[Statistic]] = {name: [seen] for name, seen in self.seen.items()}
        for node in self.model.graph.node:
            for statistic in (self.sums.get(node.name), self.moments.get(node.name)):
                if statistic is not None:
                    statistics.setdefault(node.input[0], []).append(statistic)
        return Measurement(self.model, statistics)

    def out_of_range(self) -> list[GuardedFacts]:
        """List the layers with a tensor that came near 65504.

        Both the layer that makes such a tensor and those that read it must stay in fp32, or
        the cast between them would overflow.
        """
        extremes = {tensor: self.seen[source] for tensor, source in self.sources.items()}
        limit = FP16_MAX / HEADROOM
        readers = consumers(self.model.graph)
        guarded: dict[str, GuardedFacts] = {}
        for node in self.model.graph.node:
            for tensor in node.output:
                if tensor in extremes and (reached := extremes[tensor].magnitude) > limit:
                    for layer in [node, *readers[tensor]]:
                        guarded.setdefault(
                            layer.name, _guarded(layer.name, f"tensor {tensor}", reached)
                        )
            reached = _accumulated(node, self.sums, extremes)
            if reached > limit:
                guarded.setdefault(
                    node.name, _guarded(node.name, f"sum over {node.input[0]}", reached)
                )
        return list(guarded.values())


def observe(model: ModelProto, keep_float: Sequence[str]) -> Observation:
    """Declare what to collect of a float network so that it can become float16.

    Raises UsageError for a glob of `keep_float` that matches no layer.
    """
    by_request = matching_layers(model, keep_float)
    too_large = weights_out_of_range(model)
    stay = by_request | {entry["layer"] for entry in too_large}
    sources = range_sources(model, list(model.graph.node))
    seen = {name: MinMax() for name in sorted(set(sources.values()))}
    sums = {
        node.name: PooledSum(axes)
        for node in model.graph.node
        if (axes := _summed_axes(model, node)) and node.input[0] in seen
    }
    moments = input_moments(model, [node for node in model.graph.node if node.name not in stay])
    return Observation(model, by_request, too_large, sources, seen, sums, moments)


def _accumulated(
    node: NodeProto, sums: Mapping[str, PooledSum], extremes: Mapping[str, MinMax]
) -> float:
    """Return the most a pooling adds up before it divides; 0 for other layers."""
    if node.op_type == "AveragePool" and node.input[0] in extremes:
        kernel = next(a.ints for a in node.attribute if a.name == "kernel_shape")
        return extremes[node.input[0]].magnitude * prod(kernel)
    return sums[node.name].high if node.name in sums else 0.0


def _summed_axes(model: ModelProto, node: NodeProto) -> tuple[int, ...]:
    """Axes over which `node` adds up its whole input; () for a node that does not."""
    if node.op_type == "GlobalAveragePool":
        return (2, 3)
    return tuple(reduced_axes(model, node)) if node.op_type in ("ReduceMean", "ReduceSum") else ()


def _guarded(layer: str, reason: str, value: float) -> GuardedFacts:
    return {"layer": layer, "reason": reason, "value": value}
