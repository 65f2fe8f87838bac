"""Give every reader of a quantized weight integers of its own."""

from onnx import ModelProto, NodeProto, TensorProto

from export.onnx_graph.graph import consumers, initializers, tensor_names
from export.onnx_graph.names import free_name


def separate_weights(model: ModelProto) -> None:
    """Copy a quantized weight for each layer but the first that reads it, in place.

    Where products of u8 and s8 saturate (x86 without VNNI), onnxruntime makes a u8 copy of a weight
    for every layer, under a new name that it refuses to give twice. Float weights stay shared, each
    layer gets a Q/DQ pair.
    """
    graph = model.graph
    constants, readers, taken = initializers(graph), consumers(graph), tensor_names(graph)
    quantized = {
        node.output[0]: node
        for node in graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] in constants
    }

    def own(tensor: TensorProto) -> str:
        graph.initializer.append(tensor)
        graph.initializer[-1].name = free_name(tensor.name, taken)
        return graph.initializer[-1].name

    def copied(node: NodeProto, source: str, zero_point: list[str]) -> NodeProto:
        copy = NodeProto()
        copy.CopyFrom(node)
        copy.output[0] = copy.name = free_name(node.output[0], taken)
        copy.input[:] = [source, node.input[1], *zero_point]
        return copy

    for node in [node for node in graph.node if node.op_type == "DequantizeLinear"]:
        before = quantized.get(node.input[0])
        if before is None and node.input[0] not in constants:
            continue
        for reader in readers[node.output[0]][1:]:
            zero_point = [own(constants[name]) for name in node.input[2:]]
            pair = [copied(before, before.input[0], zero_point)] if before else []
            source = pair[0].output[0] if pair else own(constants[node.input[0]])
            pair.append(copied(node, source, zero_point))
            reader.input[:] = [
                pair[-1].output[0] if name == node.output[0] else name for name in reader.input
            ]
            at = list(graph.node).index(reader)
            for one in reversed(pair):
                graph.node.insert(at, one)
