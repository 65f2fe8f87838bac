"""Tensors on which a target's kernels are fused, and so no Q stands."""

from collections.abc import Collection, Sequence

from onnx import ModelProto, NodeProto

from export.onnx_graph.graph import consumers, rename_reads
from quantize.graph.clips import CLIPPING
from quantize.target import Target


def bare_tensors(model: ModelProto, nodes: Sequence[NodeProto], target: Target) -> set[str]:
    """Return the tensors on which the target's kernels are fused, so that no Q may stand there.

    They are results that only one layer reads: of a convolution before a Relu or Clip, which
    onnxruntime itself merges only for asymmetric activations; and, of an Add's two inputs,
    that of the convolution that is computed last, as the other is there by then. And they are
    results in float that only float layers read, where the kernel can give them.
    """
    readers = consumers(model.graph)
    outputs = {value.name for value in model.graph.output}
    order = {
        node.output[0]: index
        for index, node in enumerate(model.graph.node)
        if node.op_type == "Conv"
        and len(readers[node.output[0]]) == 1
        and node.output[0] not in outputs
    }
    names = {node.name for node in nodes}
    bare = {
        node.output[0]
        for node in nodes
        if node.op_type in target.float_results
        # onnxruntime makes a float Gemm of a product and a sum that it finds one behind the other
        and not any(r.name in names or r.op_type == "Add" for r in readers[node.output[0]])
        and node.output[0] not in outputs
    }
    for node in nodes:
        fusible = [name for name in node.input if name in order]
        merges = node.op_type in CLIPPING and target.symmetric
        adds = node.op_type == "Add" and target.residual_only
        if fusible and (merges or adds):
            bare.add(max(fusible, key=lambda name: order[name]))
    return bare


def remove_pairs(model: ModelProto, tensors: Collection[str]) -> None:
    """Take the Q/DQ pairs of `tensors` out: readers read the tensors themselves."""
    graph = model.graph
    readers = consumers(graph)
    removed: list[NodeProto] = []
    for quantize in [n for n in graph.node if n.op_type == "QuantizeLinear"]:
        if quantize.input[0] not in tensors:
            continue
        (dequantize,) = readers[quantize.output[0]]
        for reader in readers[dequantize.output[0]]:
            rename_reads(reader, {dequantize.output[0]: quantize.input[0]})
        removed += [quantize, dequantize]
    for node in removed:
        graph.node.remove(node)
