"""A list of nodes that grows, with names of their own."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from onnx import NodeProto, TensorProto, helper, numpy_helper

PREFIX = "mask_head/"


class Nodes:
    """Nodes and constants of a head, in order."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Append a node and return its output's name."""
        name = f"{PREFIX}{operator}_{len(self.nodes)}"
        made = helper.make_node(operator, inputs, [output or name], name=name, **attributes)
        self.nodes.append(made)
        return output or name

    def constant(self, value: ArrayLike) -> str:
        """Append a constant and return its name."""
        name = f"{PREFIX}constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name
