"""Choose which layers become int8 by what they and the conversions between them cost.

A layer costs what its float or its int8 kernel takes; a tensor whose maker and reader differ is
converted, to int8 once and to float for each reader, as onnxruntime does. The choice with the
smallest sum is a minimum cut. It may be nearly all float where convolutions are small,
although a few per cent of the time would buy half of the MACs in int8: part of what was saved is
spent on that.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from onnx import ModelProto, NodeProto, TensorProto

from export.onnx_graph.graph import consumers, float_tensors, initializers
from quantize.graph.clips import CLIPPING
from quantize.partition.costs import (
    CONVERSION,
    KERNELS,
    Kernels,
    LayerCost,
    Shapes,
    cost,
    macs,
    size,
)
from quantize.partition.cut import INFINITE, Cut

_CERTAIN = 0.8
"""Of the time of all layers in int8, what a choice must be foreseen to take: less is within the
table's error. Foreseen at 0.98 (LR-ASPP) and 0.86 (a MobileNet with HardSwish), choices took 1.07
and 1.27 times as long; foreseen at 0.73 (ESPNetv2), one was as fast as that."""
_SPENT = 0.25
"""Share of the time saved against fp32 that is spent on more MACs in int8."""
_REWARDS = (0.12, 0.08, 0.05, 0.03, 0.02, 0.01, 0.0)
"""Nanoseconds that a MAC in int8 may cost more, tried from the largest on; one in float takes
0.0125."""


@dataclass(frozen=True)
class _Graph:
    nodes: Sequence[NodeProto]
    shapes: Shapes
    constants: Mapping[str, TensorProto]
    makers: Mapping[str, str]
    readers: Mapping[str, Sequence[str]]
    convolutions: Collection[str]
    kernels: Kernels


def paying(
    model: ModelProto, layers: Sequence[NodeProto], fp32: float, kernels: str
) -> list[NodeProto]:
    """Return those of the `layers` of a float network with inferred shapes that int8 pays for.

    That is all of them unless fewer are foreseen to be clearly faster. `fp32` is what the network
    costs as it was, ns (see `estimate`), `kernels` one of `quantize.partition.costs`.
    """
    graph = _read(model, kernels)
    free = {node.name for node in layers}
    cheapest = _cheapest(graph, free, 0.0)
    least = _sum(graph, cheapest)
    if least > _CERTAIN * _sum(graph, free):
        return list(layers)
    limit = least + _SPENT * max(0.0, fp32 - least)
    for reward in _REWARDS:
        chosen = _cheapest(graph, free, reward) if reward else cheapest
        if _sum(graph, chosen) <= limit:
            break
    return [node for node in layers if node.name in chosen]


def estimate(model: ModelProto, kernels: str, int8: Collection[str] = ()) -> float:
    """Return what a float network with inferred shapes costs with these layers in int8, ns."""
    return _sum(_read(model, kernels), int8)


def _read(model: ModelProto, kernels: str) -> _Graph:
    readers = consumers(model.graph)
    return _Graph(
        model.graph.node,
        float_tensors(model),
        initializers(model.graph),
        {name: node.name for node in model.graph.node for name in node.output},
        {name: sorted({node.name for node in nodes}) for name, nodes in readers.items()},
        {node.name for node in model.graph.node if node.op_type == "Conv"},
        KERNELS[kernels],
    )


def _cost(graph: _Graph, node: NodeProto) -> LayerCost:
    return cost(node, graph.shapes, graph.constants, graph.kernels)


def _sum(graph: _Graph, int8: Collection[str]) -> float:
    """Return what a network costs with some layers in int8, and the conversions to them."""
    total = sum(_cost(graph, node)[node.name in int8] for node in graph.nodes)
    for tensor in graph.shapes:
        sides = [reader in int8 for reader in graph.readers.get(tensor, ())]
        made = graph.makers.get(tensor) in int8
        conversions = sides.count(False) if made else int(True in sides)
        total += conversions * _conversion(graph, tensor)
    return total


def _conversion(graph: _Graph, tensor: str) -> float:
    """Return what converting a tensor once costs."""
    around = {graph.makers.get(tensor), *graph.readers.get(tensor, ())}
    plain = around.isdisjoint(graph.convolutions)
    per_value = graph.kernels.plain if plain else CONVERSION
    return per_value * size(tensor, graph.shapes)


def _cheapest(graph: _Graph, free: Collection[str], reward: float) -> set[str]:
    """Return the layers in int8 of the cheapest choice, where each MAC of theirs saves `reward`."""
    cut = Cut()
    for node in graph.nodes:
        if node.name not in free:
            cut.edge(node.name, Cut.SINK, INFINITE)
            continue
        costs = _cost(graph, node)
        more = reward * macs(node, graph.shapes, graph.constants)
        cut.edge(Cut.SOURCE, node.name, round(costs.in_float + more))
        cut.edge(node.name, Cut.SINK, round(costs.in_int8))
        before = graph.makers.get(node.input[0])
        if node.op_type in CLIPPING and before in free:  # part of the kernel before it
            cut.edge(node.name, before, INFINITE)
            cut.edge(before, node.name, INFINITE)
    for tensor in graph.shapes:
        _convert(cut, graph, tensor)
    in_float = cut.sink_side()
    return {name for name in free if name not in in_float}


def _convert(cut: Cut, graph: _Graph, tensor: str) -> None:
    """Have a tensor pay for a DQ per float reader of an int8 maker, and for one Q otherwise."""
    price = round(_conversion(graph, tensor))
    maker, to_int8 = graph.makers.get(tensor, Cut.SINK), ("to int8", tensor)
    cut.edge(to_int8, maker, price)
    for reader in graph.readers.get(tensor, ()):
        cut.edge(reader, to_int8, INFINITE)
        if maker != Cut.SINK:
            cut.edge(maker, reader, price)
