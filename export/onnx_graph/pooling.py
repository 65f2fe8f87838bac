"""Rewrite: ReduceMean over height and width becomes GlobalAveragePool.

torch's exporter writes `AdaptiveAvgPool2d(1)` as ReduceMean, for which ONNX Runtime has no
int8 kernel and whose name hides from fp16 converters that it sums over a whole map.
"""

from onnx import ModelProto, NodeProto, helper

from export.onnx_graph.graph import attribute, constant, float_tensors


def pool_means(model: ModelProto) -> int:
    """Rewrite in place; return how many nodes changed.

    Only a mean over exactly axes 2 and 3 of a float (N, C, H, W) tensor that keeps its
    dimensions is a global average pooling.
    """
    ranks = {name: len(shape) for name, shape in float_tensors(model).items()}
    changed = 0
    for index, node in enumerate(model.graph.node):
        if node.op_type != "ReduceMean" or ranks.get(node.input[0]) != 4:
            continue
        if attribute(node, "keepdims", 1) != 1 or sorted(
            a % 4 for a in reduced_axes(model, node)
        ) != [2, 3]:
            continue
        pool = helper.make_node(
            "GlobalAveragePool", [node.input[0]], [node.output[0]], name=node.name
        )
        model.graph.node[index].CopyFrom(pool)
        changed += 1
    return changed


def reduced_axes(model: ModelProto, node: NodeProto) -> list[int]:
    """Return the constant axes of a Reduce node: an attribute before opset 18, then an input."""
    for attr in node.attribute:
        if attr.name == "axes":
            return list(attr.ints)
    if len(node.input) < 2:
        return []
    axes = constant(model.graph, node.input[1])
    return [] if axes is None else [int(a) for a in axes.reshape(-1)]
