"""Run a float16 file as hardware with float16 tensors would, on a CPU without them.

x86 CPUs have no float16 convolution, so onnxruntime computes such a file in float32 and most
tensors are never rounded: overflow stays invisible and the measured drop means nothing. Here
every tensor that is float16 in the file is really rounded to it (Cast to float16 and back),
inf beyond 65504 included, while each operator computes in float32, as accumulators of real
float16 hardware do.
"""

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from export.common.errors import ArtifactError
from export.onnx_graph.graph import infer_shapes

RAW = "_raw"
"""At the end of the name of what an operator gave before it was rounded."""


def emulate_fp16(model: ModelProto) -> ModelProto:
    """Return a graph with the same inputs and outputs that rounds what `model` has in float16.

    Each operator that gives a float16 tensor T computes T_raw in float32; Cast rounds it to T
    (float16) and Cast widens that to T_wide for its readers. Raises ArtifactError when a
    tensor's type cannot be inferred.
    """
    inferred = infer_shapes(model)
    half = _half_tensors(inferred)
    emulated = ModelProto()
    emulated.CopyFrom(model)
    graph = emulated.graph
    del graph.value_info[:]
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            _widen(tensor)
    nodes: list[NodeProto] = []
    computed = {o for node in graph.node for o in node.output}
    nodes += [_wide(name) for name in sorted(half - computed)]
    for node in graph.node:
        if node.op_type == "Cast":  # its sides already have the types the file gives them
            nodes.append(node)
        else:
            nodes += _rounded(node, half)
            continue
        nodes += [_wide(name) for name in node.output if name in half]
    del graph.node[:]
    graph.node.extend(nodes)
    return emulated


def _half_tensors(model: ModelProto) -> set[str]:
    graph = model.graph
    types = {
        v.name: v.type.tensor_type.elem_type
        for v in [*graph.input, *graph.output, *graph.value_info]
    }
    for node in graph.node:
        for name in node.output:
            if name and not types.get(name):
                raise ArtifactError(
                    f"layer {node.name}: the type of its output {name} is unknown, so fp16 "
                    "rounding cannot be emulated; validate with --runtime ort-cuda"
                )
    return {name for name, kind in types.items() if kind == TensorProto.FLOAT16}


def _rounded(node: NodeProto, half: set[str]) -> list[NodeProto]:
    copy = NodeProto()
    copy.CopyFrom(node)
    for attribute in copy.attribute:
        if attribute.t.data_type == TensorProto.FLOAT16:
            _widen(attribute.t)
    copy.input[:] = [f"{name}_wide" if name in half else name for name in node.input]
    copy.output[:] = [f"{name}{RAW}" if name in half else name for name in node.output]
    after: list[NodeProto] = []
    for name in node.output:
        if name in half:
            after.append(helper.make_node("Cast", [f"{name}{RAW}"], [name], to=TensorProto.FLOAT16))
            after.append(_wide(name))
    return [copy, *after]


def _wide(name: str) -> NodeProto:
    return helper.make_node("Cast", [name], [f"{name}_wide"], to=TensorProto.FLOAT)


def _widen(tensor: TensorProto) -> None:
    wide = numpy_helper.to_array(tensor).astype(np.float32)
    tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
