"""Rewrite: networks in float16, bfloat16 or float64 become float32 ones."""

from collections.abc import Collection

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, numpy_helper

from export.onnx_graph.graph import subgraphs

HALVES: dict[int, str] = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}
"""Types all of whose values float32 holds."""
OTHERS = HALVES | {TensorProto.DOUBLE: "float64"}
_KIND_ATTRIBUTES = ("to", "dtype")
"""Attributes that name a type: those of Cast, and of operators that make tensors."""


def other_float(model: ModelProto) -> str | None:
    """Return which of OTHERS the network computes in, None for float32.

    Its input's type tells, or that of its weights.
    """
    kinds = [tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) > 1]
    kinds += [value.type.tensor_type.elem_type for value in model.graph.input]
    kinds += [a.t.data_type for n in model.graph.node for a in n.attribute if len(a.t.dims) > 1]
    return next((OTHERS[kind] for kind in kinds if kind in OTHERS), None)


def to_single(model: ModelProto) -> None:
    """Turn what is not float32 into it, in place: exactly from halves, rounded from float64.

    Sizes that a float32 network computes in float64 stay what they are.
    """
    _convert(model.graph, OTHERS if other_float(model) == "float64" else HALVES)


def _convert(graph: GraphProto, kinds: Collection[int]) -> None:
    for tensor in graph.initializer:
        _convert_tensor(tensor, kinds)
    for value in [*graph.input, *graph.output, *graph.value_info]:
        if value.type.tensor_type.elem_type in kinds:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in _KIND_ATTRIBUTES and attribute.i in kinds:
                attribute.i = TensorProto.FLOAT
            if attribute.type == AttributeProto.TENSOR:
                _convert_tensor(attribute.t, kinds)
        for inner in subgraphs(node):
            _convert(inner, kinds)


def _convert_tensor(tensor: TensorProto, kinds: Collection[int]) -> None:
    if tensor.data_type in kinds:
        single = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(single, tensor.name))
