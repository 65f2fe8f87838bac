"""New nodes in place of one of a float network."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, helper, numpy_helper

from export.onnx_graph.graph import tensor_names
from export.onnx_graph.names import free_name


class Writer:
    """Collects what stands in place of `layer`; names of nodes and constants begin with its own."""

    def __init__(self, graph: GraphProto, layer: NodeProto) -> None:
        self._graph, self._layer = graph, layer
        self._nodes: list[NodeProto] = []
        self._constants = 0
        self._taken = tensor_names(graph)

    def constant(self, value: NDArray[np.generic]) -> str:
        """Add a constant and return its name."""
        name = free_name(f"{self._layer.name}/constant_{self._constants}", self._taken)
        self._constants += 1
        self._graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, operator: str, inputs: Sequence[str], **given: Any) -> str:
        """Append a node and return its output's name."""
        name = free_name(f"{self._layer.name}/{operator}_{len(self._nodes)}", self._taken)
        self._nodes.append(helper.make_node(operator, inputs, [name], name=name, **given))
        return name

    def shaped(self, tensor: str, shape: Sequence[int]) -> str:
        """Append a Reshape."""
        return self.add("Reshape", [tensor, self.constant(np.array(shape))])

    def call(self, operator: str, name: str) -> None:
        """Give the first node of `operator` a name, such as that of the layer it stands for."""
        next(node for node in self._nodes if node.op_type == operator).name = name

    def replace(self, *gone: NodeProto, output: str | None = None) -> None:
        """Put the nodes where the layer was; the last gives `output`, by default the layer's.

        The nodes in `gone` go too.
        """
        self._nodes[-1].output[0] = output or self._layer.output[0]
        kept = list(self._graph.node)
        at = kept.index(self._layer)
        kept[at : at + 1] = self._nodes
        del self._graph.node[:]
        self._graph.node.extend(node for node in kept if node not in gone)
