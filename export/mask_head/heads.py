"""The forms of a mask head, by name."""

from collections.abc import Callable
from dataclasses import dataclass

import onnx
from onnx import ModelProto

from export.mask_head.cells import cells, cells_pay
from export.mask_head.channels_last import channels_last
from export.mask_head.names import PLAIN
from export.mask_head.nodes import Nodes
from export.mask_head.tail import Tail, find_tail
from export.onnx_graph.graph import infer_shapes

HEADS: dict[str, Callable[[Tail], Nodes]] = {"channels-last": channels_last, "cells": cells}
"""How the end of a network may be written, beside `PLAIN`, as it was exported."""


@dataclass(frozen=True)
class Choice:
    """Cells from so many pixels per cell and axis on, otherwise another form."""

    at_least: float
    otherwise: str


CHOICES: dict[str, Choice] = {
    "cells": Choice(3.0, "channels-last"),
    "cells-or-plain": Choice(2.0, PLAIN),
}
"""By runtime. onnxruntime takes 1.1 ms at 16 pixels (DeepLabV3) against 3.6 for interpolating all,
at 4 (DeepLabV3+) 2.1 against 2.9 (benchmarks/heads.py): below, little is left to gain. OpenVINO
takes 5 ms for all pixels of ESPNetv2's 384 x 384, at 2, and none to speak of for cells; it has no
fast kernels for channels that lie last (benchmarks/openvino_forms.py)."""


def with_head(model: ModelProto, name: str) -> tuple[ModelProto, str] | None:
    """Return a copy that ends in the head `name`, one of HEADS or CHOICES, and its form.

    None where the model stays as it is: for `PLAIN`, or when it does not end in Resize, ArgMax
    and Cast.
    """
    tail = None if name == PLAIN else find_tail(infer_shapes(model, data_prop=True))
    if tail is None:
        return None
    if choice := CHOICES.get(name):
        name = "cells" if cells_pay(tail, choice.at_least) else choice.otherwise
    if name == PLAIN:
        return None
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
