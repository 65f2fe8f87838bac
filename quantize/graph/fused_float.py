"""Elementwise layers that onnxruntime computes together in one float kernel."""

from collections.abc import Mapping
from math import prod

from onnx import ModelProto, NodeProto, TensorProto

from export.onnx_graph.graph import consumers, initializers


def gelu_parts(model: ModelProto) -> set[str]:
    """Return the names of every Erf and of the products and the sum around it, a GELU.

    x * (1 + erf(x / sqrt 2)) / 2 is one kernel as long as all of it is float; products in int8
    would stop that.
    """
    graph = model.graph
    readers, constants = consumers(graph), initializers(graph)
    makers = {name: node for node in graph.node for name in node.output}
    names: set[str] = set()

    def scaled_input(tensor: str, inputs: set[str]) -> bool:
        """Whether `tensor` is the GELU's input or half of it."""
        maker = makers.get(tensor)
        halved = maker is not None and maker.op_type == "Mul" and inputs & set(maker.input)
        if halved and maker is not None:
            names.add(maker.name)
        return tensor in inputs or bool(halved)

    def belongs(node: NodeProto, before: str, inputs: set[str]) -> bool:
        others = [name for name in node.input if name != before]
        alone = node.op_type in ("Add", "Mul") and len(others) == 1
        return alone and (_scalar(constants, others[0]) or scaled_input(others[0], inputs))

    for erf in (node for node in graph.node if node.op_type == "Erf"):
        first = makers.get(erf.input[0])
        inputs = {name for name in first.input if name not in constants} if first else set()
        tensor = erf.output[0]
        for _ in range(3):  # 1 +, times x, halved; in any order
            if len(readers[tensor]) != 1 or not belongs(readers[tensor][0], tensor, inputs):
                break
            names.add(readers[tensor][0].name)
            tensor = readers[tensor][0].output[0]
        names.update(node.name for node in (first, erf) if node)
    return names


def _scalar(constants: Mapping[str, TensorProto], name: str) -> bool:
    return name in constants and prod(constants[name].dims) == 1
