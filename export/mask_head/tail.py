"""Find the end of a network: a linear Resize of the logits, and the class of every pixel."""

from collections.abc import Mapping
from dataclasses import dataclass

from onnx import ModelProto, NodeProto

from export.onnx_graph.graph import attribute, consumers, dims
from export.onnx_graph.resize import mode as resize_mode
from export.onnx_graph.resize import size as resize_size


@dataclass(frozen=True)
class Tail:
    """`nodes` turn `logits` (N, classes, h, w) into the output `mask` (N, H, W).

    `mode` is the Resize's coordinate_transformation_mode, `to` the mask's ONNX type.
    """

    nodes: tuple[NodeProto, ...]
    logits: str
    mask: str
    shape: tuple[int, int, int, int]
    size: tuple[int, int]
    mode: str
    to: int


def find_tail(model: ModelProto) -> Tail | None:
    """Return the Resize, ArgMax and Cast that end a file whose only output is a mask.

    None for any other end: logits that are also an output, sizes that are only known at run
    time, another kind of interpolation. Needs inferred shapes.
    """
    graph = model.graph
    if len(graph.output) != 1:
        return None
    makers = {name: node for node in graph.node for name in node.output}
    cast = makers.get(graph.output[0].name)
    argmax = _before(makers, cast, "Cast")
    resize = _before(makers, argmax, "ArgMax")
    if cast is None or argmax is None or resize is None or resize.op_type != "Resize":
        return None
    readers = consumers(graph)
    if any(len(readers[node.output[0]]) != 1 for node in (resize, argmax)):
        return None
    if attribute(argmax, "axis") != 1 or attribute(argmax, "keepdims", 1):
        return None
    if attribute(argmax, "select_last_index"):
        return None
    shapes = {value.name: dims(value) for value in [*graph.input, *graph.value_info]}
    shape = shapes.get(resize.input[0], ())
    size = resize_size(model, resize, shape)
    mode = resize_mode(resize)
    if mode is None or size is None or len(shape) != 4:
        return None
    n, c, h, w = (d or 0 for d in shape)
    if min(n, c) < 1 or min(h, w, *size) < 2:
        return None
    return Tail(
        (resize, argmax, cast), resize.input[0], cast.output[0], (n, c, h, w), size, mode,
        attribute(cast, "to"),
    )  # fmt: skip


def _before(
    makers: Mapping[str, NodeProto], node: NodeProto | None, operator: str
) -> NodeProto | None:
    return makers.get(node.input[0]) if node is not None and node.op_type == operator else None
