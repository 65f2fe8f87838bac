"""Which tensors of a network cannot hold values below 0."""

from collections.abc import Callable

from onnx import ModelProto, NodeProto

from export.onnx_graph.graph import attributes, constant

_ALWAYS = {"Relu", "Sigmoid", "HardSigmoid", "Softmax", "Abs", "Exp", "Sqrt"}
_AS_INPUTS = {
    "Add",
    "AveragePool",
    "Concat",
    "Flatten",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Identity",
    "MaxPool",
    "Mul",
    "Reshape",
    "Slice",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
}


def nonnegative(model: ModelProto) -> set[str]:
    """Name the tensors whose operators rule negative values out; others may have none either."""
    known: set[str] = set()
    for node in model.graph.node:
        special = _SPECIAL.get(node.op_type)
        if (
            node.op_type in _ALWAYS
            or (node.op_type in _AS_INPUTS and _inputs_are(known, node))
            or (special is not None and special(model, known, node))
        ):
            known.update(node.output)
    return known


def _inputs_are(known: set[str], node: NodeProto) -> bool:
    """Whether the signs of all data inputs are known; axes, sizes and bounds are not data."""
    several = node.op_type in ("Add", "Concat", "Mul")
    return known.issuperset(node.input if several else node.input[:1])


def _clip(model: ModelProto, known: set[str], node: NodeProto) -> bool:
    low = attributes(node).get("min")  # an attribute up to operator set 10
    if len(node.input) > 1 and node.input[1]:
        value = constant(model.graph, node.input[1])
        low = None if value is None else value.item()
    return low is not None and low >= 0


def _pad(model: ModelProto, known: set[str], node: NodeProto) -> bool:
    if node.input[0] not in known:
        return False
    if len(node.input) < 3 or not node.input[2]:
        return True
    value = constant(model.graph, node.input[2])
    return value is not None and bool(value.item() >= 0)


def _resize(model: ModelProto, known: set[str], node: NodeProto) -> bool:
    # a cubic one overshoots
    return node.input[0] in known and attributes(node).get("mode", b"nearest") != b"cubic"


_SPECIAL: dict[str, Callable[[ModelProto, set[str], NodeProto], bool]] = {
    "Clip": _clip,
    "Pad": _pad,
    "Resize": _resize,
}
