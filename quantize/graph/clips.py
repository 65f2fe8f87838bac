"""What a Relu or Clip leaves of a tensor, and whether a quantized range does its work."""

import math
from collections.abc import Collection, Mapping

from onnx import ModelProto, NodeProto

from export.onnx_graph.graph import constant
from quantize.ranges.ranges import Range

CLIPPING = ("Relu", "Clip")


def clip_bounds(model: ModelProto, node: NodeProto) -> Range | None:
    """Return (min, max) of a Clip with constant bounds, infinite where absent, else None."""
    bounds = [-math.inf, math.inf]
    for index, name in enumerate(node.input[1:3]):
        if name:
            value = constant(model.graph, name)
            if value is None:
                return None
            bounds[index] = float(value.item())
    return bounds[0], bounds[1]


def clipped(model: ModelProto) -> dict[str, Range]:
    """Return the bounds of the results of Relu, and of Clip with constant bounds, by tensor."""
    found = {node.output[0]: (0.0, math.inf) for node in model.graph.node if node.op_type == "Relu"}
    for node in model.graph.node:
        if node.op_type == "Clip" and (bounds := clip_bounds(model, node)):
            found[node.output[0]] = bounds
    return found


def within(bounds: Range, limits: Range) -> Range:
    """Return the part of a range that lies within limits."""
    low, high = bounds
    return max(low, limits[0]), max(min(high, limits[1]), limits[0])


def uncut(
    model: ModelProto, layers: Collection[str], ranges: Mapping[str, Range], steps: int
) -> frozenset[str]:
    """Return the Relus and Clips of `layers` whose work the range of their result does not do.

    A range has so many `steps`, and its ends are known to one of them. That of a Concat reaches
    further than that of a part where another part does; nobody knows what bounds are that are
    computed; and a MaxPool gives integers of the grid it reads.
    """
    bounds = clipped(model)
    pooled = {node.output[0] for node in model.graph.node if node.op_type == "MaxPool"}

    def cuts(tensor: str) -> bool:
        if tensor not in bounds or tensor not in ranges:
            return False
        low, high = min(ranges[tensor][0], 0.0), max(ranges[tensor][1], 0.0)  # a grid has 0
        spare = (high - low) / steps
        return low >= bounds[tensor][0] - spare and high <= bounds[tensor][1] + spare

    nodes = [n for n in model.graph.node if n.op_type in CLIPPING and n.name in layers]
    return frozenset(n.name for n in nodes if n.input[0] in pooled or not cuts(n.output[0]))
