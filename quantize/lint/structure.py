"""Rules about the file and about which layers run in int8."""

import numpy as np
from onnx import NodeProto

from export.onnx_graph.graph import MAX_IR_VERSION, opset
from quantize.graph.insertion.bare import bare_tensors
from quantize.graph.qdq_graph import Linear, QdqGraph, data_inputs
from quantize.lint.subject import Found, LintSubject
from quantize.targets import MOVES

_PASSIVE = ("Relu", "Clip", "MaxPool", "AveragePool", "Resize", *MOVES)
"""Operators that are quantized only if their input is."""


def loads(subject: LintSubject) -> Found:
    """The file is one that onnxruntime loads."""
    if subject.failure:
        yield "file", subject.failure


def ir_version(subject: LintSubject) -> Found:
    """The IR version is one that ONNX Runtime 1.20 knows."""
    if (version := subject.graph.model.ir_version) > MAX_IR_VERSION:
        yield "file", f"IR version {version}, at most {MAX_IR_VERSION} is known to runtimes in use"


def opset_version(subject: LintSubject) -> Found:
    """The operator set is one that all runtimes in use read Q/DQ from."""
    least = subject.int8_target.opset
    if (version := opset(subject.graph.model)) < least:
        yield "file", f"opset {version}, at least {least} is needed"


def fusion(subject: LintSubject) -> Found:
    """Every layer became the int8 operator it should, where this host can show it."""
    target, optimized = subject.int8_target, subject.optimized
    if optimized is None:
        return
    for node in subject.quantized_layers(tuple(target.fuses)):
        became = optimized.layers.get(node.name, [])
        if (wanted := target.fuses[node.op_type]) not in became:
            yield node.name, f"{node.op_type} became {', '.join(became) or 'float'}, not {wanted}"


def island(subject: LintSubject) -> Found:
    """Layers that the manifest does not declare as float read int8."""
    graph, target = subject.graph, subject.int8_target
    layers = subject.quantized_layers(target.operators)
    names = {node.name for node in layers}
    fused = bare_tensors(graph.model, layers, target)

    def follows(node: NodeProto) -> bool:
        """Whether it is in float as what it reads is, or what it gives."""
        if node.op_type not in _PASSIVE or node.input[0] in graph.dequantizers:
            return False
        producer = graph.producers.get(node.input[0])
        behind = {reader.op_type for reader in graph.readers[node.output[0]]}
        if producer is None or producer.name not in names or "QuantizeLinear" not in behind:
            return True
        return follows(producer)

    for node in layers:
        for tensor in data_inputs(node):
            in_int8 = tensor in graph.dequantizers or tensor in fused
            if not in_int8 and not follows(node):
                yield node.name, f"{node.op_type} reads {tensor} in float"


def partner(subject: LintSubject) -> Found:
    """Each Q has a DQ and each DQ a Q or integers, with the same scale and zero point."""
    graph = subject.graph
    for quantizer in graph.quantizers.values():
        readers = graph.readers[quantizer.node.output[0]]
        if not any(reader.op_type == "DequantizeLinear" for reader in readers):
            yield quantizer.tensor, f"{quantizer.node.name} has no DequantizeLinear behind it"
    for dequantizer in graph.dequantizers.values():
        before = graph.quantizers.get(dequantizer.tensor)
        if before is None and dequantizer.tensor not in graph.constants:
            yield dequantizer.tensor, f"{dequantizer.node.name} reads neither a Q nor integers"
        elif before is not None and not _same_grid(before, dequantizer):
            yield (
                before.tensor,
                (
                    f"Q has scale {before.scale[0]:.3g} and zero point {before.zero_point[0]}, "
                    f"DQ {dequantizer.scale[0]:.3g} and {dequantizer.zero_point[0]}"
                ),
            )


def one_grid(subject: LintSubject) -> Found:
    """What only moves or chooses values reads and gives one scale and zero point."""
    graph = subject.graph
    for node in graph.layers((*MOVES, "MaxPool")):
        before = graph.dequantizers.get(node.input[0])
        read_by = (reader.output[0] for reader in graph.readers[node.output[0]])
        after = next((graph.quantizers[name] for name in read_by if name in graph.quantizers), None)
        if before and after and not _same_grid(before, after):
            yield (
                node.name,
                f"{node.op_type} reads scale {before.scale[0]:.6g} and gives {after.scale[0]:.6g}",
            )


def residual_add(subject: LintSubject) -> Found:
    """Of an Add's inputs, the convolution it can be fused with is read in float."""
    graph = subject.graph
    if not subject.int8_target.residual_only:
        return
    for node in graph.layers(("Add",)):
        if not all(name in graph.dequantizers for name in node.input):
            continue
        before = [graph.quantizers.get(graph.dequantizers[name].tensor) for name in node.input]
        for quantizer in (q for q in before if q):
            producer = graph.producers.get(quantizer.tensor)
            if producer and producer.op_type == "Conv" and _read_once(graph, quantizer):
                yield (
                    node.name,
                    f"both inputs are quantized, {quantizer.tensor} of {producer.name} too",
                )


def _read_once(graph: QdqGraph, quantizer: Linear) -> bool:
    """Whether one layer reads, as one of its inputs, what is quantized there."""
    dequantizers = graph.readers[quantizer.node.output[0]]
    names = {node.output[0] for node in dequantizers}
    reads = [name for node in graph.nodes for name in node.input if name in names]
    return len(graph.readers[quantizer.tensor]) == len(reads) == 1


def _same_grid(first: Linear, second: Linear) -> bool:
    """Whether they are equal; one may say once what the other says of each channel."""
    pairs = ((first.scale, second.scale), (first.zero_point, second.zero_point))
    return all(np.isclose(one, other, rtol=0, atol=0, equal_nan=True).all() for one, other in pairs)
