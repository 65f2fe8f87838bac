"""The forms of a mask head, by name."""

from collections.abc import Callable

import onnx
from onnx import ModelProto

from export.mask_head.cells import cells, cells_pay
from export.mask_head.channels_last import channels_last
from export.mask_head.nodes import Nodes
from export.mask_head.tail import Tail, find_tail
from export.onnx_graph.graph import infer_shapes

PLAIN = "plain"
HEADS: dict[str, Callable[[Tail], Nodes]] = {"channels-last": channels_last, "cells": cells}
"""How the end of a network may be written, beside `PLAIN`, as it was exported."""


def with_head(model: ModelProto, name: str) -> tuple[ModelProto, str] | None:
    """Return a copy that ends in the head `name`, and the head's name.

    It is "channels-last" where cells do not pay. None where the model stays as it is: for
    `PLAIN`, or when it does not end in Resize, ArgMax and Cast.
    """
    if name == PLAIN:
        return None
    inferred = infer_shapes(model, data_prop=True)
    tail = find_tail(inferred)
    if tail is None:
        return None
    if name == "cells" and not cells_pay(tail):
        name = "channels-last"
    made = HEADS[name](tail)
    copy = ModelProto()
    copy.CopyFrom(model)
    gone = {node.output[0] for node in tail.nodes}
    kept = [node for node in copy.graph.node if node.output[0] not in gone]
    del copy.graph.node[:]
    copy.graph.node.extend([*kept, *made.nodes])
    read = {name for node in copy.graph.node for name in node.input}
    constants = [tensor for tensor in copy.graph.initializer if tensor.name in read]
    del copy.graph.initializer[:]
    copy.graph.initializer.extend([*constants, *made.constants])
    shapes = [value for value in copy.graph.value_info if value.name not in gone]
    del copy.graph.value_info[:]
    copy.graph.value_info.extend(shapes)
    onnx.checker.check_model(copy)
    return copy, name
