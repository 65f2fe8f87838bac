"""Rewrite: float16 and bfloat16 networks become float32 ones with exactly the same weights."""

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, numpy_helper

from export.graph import subgraphs

HALVES: dict[int, str] = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}
_KIND_ATTRIBUTES = ("to", "dtype")
"""Attributes that name a type: those of Cast, and of operators that make tensors."""


def half_weights(model: ModelProto) -> str | None:
    """Return "float16" or "bfloat16" where the network computes in it, None for float32.

    Its input's type tells, or that of its weights.
    """
    kinds = [tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) > 1]
    kinds += [value.type.tensor_type.elem_type for value in model.graph.input]
    kinds += [a.t.data_type for n in model.graph.node for a in n.attribute if len(a.t.dims) > 1]
    return next((HALVES[kind] for kind in kinds if kind in HALVES), None)


def widen(model: ModelProto) -> None:
    """Turn every half into float32, in place: exact, as float32 holds all of their values."""
    _widen_graph(model.graph)


def _widen_graph(graph: GraphProto) -> None:
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for value in [*graph.input, *graph.output, *graph.value_info]:
        if value.type.tensor_type.elem_type in HALVES:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in _KIND_ATTRIBUTES and attribute.i in HALVES:
                attribute.i = TensorProto.FLOAT
            if attribute.type == AttributeProto.TENSOR:
                _widen_tensor(attribute.t)
        for inner in subgraphs(node):
            _widen_graph(inner)


def _widen_tensor(tensor: TensorProto) -> None:
    if tensor.data_type in HALVES:
        wide = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
