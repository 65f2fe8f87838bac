"""The errors that int8 adds to a float network, each with the layers that bring it.

A tensor is rounded as long as one of the layers around it is in int8, a weight as long as its own
layer is. To the logits these errors add up, as they are small; layers do not, as neighbours share
tensors: leaving one in float may take away nothing, and its neighbour as well, much.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from export.onnx_graph.graph import attribute, initializers, rename_reads
from quantize.graph.biases import with_shifted_biases
from quantize.graph.plan import Plan, rounded_for
from quantize.graph.qdq_graph import Linear, QdqGraph, Weight


@dataclass(frozen=True)
class ErrorSource:
    """Rounded `weights` and `tensors` that are there while one of `holders` is in int8.

    `holders` are indices of units (see `units`).
    """

    holders: frozenset[int]
    weights: tuple[Weight, ...]
    tensors: tuple[Linear, ...]


def units(layers: Sequence[str], macs: Mapping[str, float]) -> list[tuple[str, ...]]:
    """Cut layers in graph order into parts that become float together.

    Each begins with a layer that has MACs: a Relu, Add or Concat costs a conversion wherever its
    surroundings are of another type, and goes with what was computed before it.
    """
    parts: list[list[str]] = []
    for layer in layers:
        if not parts or (macs.get(layer) and any(macs.get(one) for one in parts[-1])):
            parts.append([])
        parts[-1].append(layer)
    return [tuple(part) for part in parts]


def merged(parts: Sequence[tuple[str, ...]], count: int) -> list[tuple[str, ...]]:
    """Join neighbouring parts so that at most `count` (at least 1) of about equal length remain."""
    count = max(1, min(count, len(parts)))
    cuts = [len(parts) * index // count for index in range(count + 1)]
    return [
        tuple(layer for part in parts[start:stop] for layer in part)
        for start, stop in pairwise(cuts)
    ]


def sources(
    plan: Plan, quantized: ModelProto, parts: Sequence[tuple[str, ...]]
) -> list[ErrorSource]:
    """Return what `quantized`, the plan with all layers in int8, rounds; those with equal holders
    are one.
    """
    part_of = {layer: index for index, part in enumerate(parts) for layer in part}
    graph = QdqGraph(quantized)
    weights: dict[frozenset[int], list[Weight]] = {}
    tensors: dict[frozenset[int], list[Linear]] = {}
    for weight in graph.weights():
        weights.setdefault(frozenset({part_of[weight.layer]}), []).append(weight)
    around = rounded_for(plan)
    # where only weights become more exact, tensors are rounded whatever is chosen
    for linear in () if plan.target.wide_weight else graph.activations():
        holders = frozenset(part_of[name] for name in around.get(linear.tensor, ()))
        if holders:
            tensors.setdefault(holders, []).append(linear)
    return [
        ErrorSource(holders, tuple(weights.get(holders, ())), tuple(tensors.get(holders, ())))
        for holders in sorted({*weights, *tensors}, key=sorted)
    ]


def with_source(plan: Plan, source: ErrorSource) -> tuple[ModelProto, dict[str, str]]:
    """Return the float network with one error, and the new names of what readers of tensors get."""
    layers = {weight.layer for weight in source.weights}
    model = ModelProto()
    model.CopyFrom(
        with_shifted_biases(plan.model, {n: s for n, s in plan.shifts.items() if n in layers})
    )
    _round_weights(model, source.weights)
    return model, _round_tensors(model, source.tensors)


def _round_weights(model: ModelProto, weights: Sequence[Weight]) -> None:
    nodes = {node.name: node for node in model.graph.node}
    constants = initializers(model.graph)
    for weight in weights:
        node = nodes[weight.layer]
        axis = 0 if node.op_type == "Conv" or attribute(node, "transB") else -1
        shape = [1] * weight.integers.ndim
        shape[axis] = weight.linear.scale.size
        values = np.asarray(weight.integers * weight.linear.scale.reshape(shape), np.float32)
        constant = constants[node.input[1]]
        constant.CopyFrom(numpy_helper.from_array(values, constant.name))


def _round_tensors(model: ModelProto, tensors: Sequence[Linear]) -> dict[str, str]:
    """Put a Q/DQ pair behind each tensor, in place."""
    names = {linear.tensor: f"{linear.tensor}::rounded" for linear in tensors}
    pairs = {linear.tensor: _pair(model, linear, names[linear.tensor]) for linear in tensors}
    nodes = [node for value in model.graph.input for node in pairs.get(value.name, ())]
    for node in model.graph.node:
        rename_reads(node, names)
        nodes.append(node)
        nodes.extend(one for name in node.output for one in pairs.get(name, ()))
    ordered = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(ordered)
    return names


def _pair(model: ModelProto, linear: Linear, result: str) -> list[NodeProto]:
    parts = {"scale": linear.scale, "zero_point": linear.zero_point}
    names = [f"{result}::{part}" for part in parts]
    for name, values in zip(names, parts.values(), strict=True):
        model.graph.initializer.append(numpy_helper.from_array(values.reshape(()), name))
    integers = f"{result}::integers"
    return [
        helper.make_node("QuantizeLinear", [linear.tensor, *names], [integers]),
        helper.make_node("DequantizeLinear", [integers, *names], [result]),
    ]
