"""A product with a positive constant costs nothing in int8: the same integers, another scale."""

from collections.abc import Collection

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from quantize.graph.qdq_graph import Linear, QdqGraph
from quantize.targets import MOVES

_ONE_SCALE = {*MOVES, "MaxPool"}


def read_scaled(model: ModelProto, cut: Collection[str] = ()) -> None:
    """Let readers of such products dequantize the factor's integers by themselves, in place.

    The product of a quantized tensor and one positive number has the tensor's integers with a scale
    that many times as large; its own Q/DQ pair would round once more, to no finer a grid. Products
    named in `cut` stay: their Q cuts values, as a Clip would, that nothing else cuts.
    """
    graph = QdqGraph(model)
    for product in [node for node in graph.nodes if node.op_type == "Mul"]:
        readers = _dequantizers(graph, product)
        factors = _factors(graph, product)
        if factors is None or not readers or product.name in cut:
            continue
        tensor, factor = factors
        scale = f"{product.name}/scale"
        values = (tensor.scale * factor).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(values.reshape(()), scale))
        (quantizer,) = graph.readers[product.output[0]]
        for reader in readers:
            reader.input[:] = [tensor.tensor, scale, *tensor.node.input[2:]]
            # a product of this one finds it so
            graph.dequantizers[reader.output[0]] = Linear(reader, values, tensor.zero_point)
        model.graph.node.remove(product)
        model.graph.node.remove(quantizer)


def _dequantizers(graph: QdqGraph, product: NodeProto) -> list[NodeProto]:
    """Return what reads a product's integers; nothing where the product itself is needed, too.

    And nothing where what reads them has to give the same scale.
    """
    quantizers = graph.readers[product.output[0]]
    if product.output[0] in graph.outputs or [n.op_type for n in quantizers] != ["QuantizeLinear"]:
        return []
    dequantizers = graph.readers[quantizers[0].output[0]]
    last = {reader.op_type for node in dequantizers for reader in graph.readers[node.output[0]]}
    return [] if last & _ONE_SCALE else dequantizers


def _factors(graph: QdqGraph, product: NodeProto) -> tuple[Linear, float] | None:
    """Return what a product multiplies by which positive number; None where it is another one."""
    for name, other in (product.input, reversed(product.input)):
        tensor, factor = graph.dequantizers.get(name), _number(graph, other)
        if tensor and tensor.tensor not in graph.constants and tensor.scale.size == 1:
            return (tensor, factor) if factor is not None and factor > 0 else None
    return None


def _number(graph: QdqGraph, name: str) -> float | None:
    """Return the one value of a constant, which may be quantized."""
    linear = graph.dequantizers.get(name)
    values = graph.constants.get(linear.tensor if linear else name)
    if values is None or values.size != 1:
        return None
    if linear is None:
        return float(values.reshape(()))
    integer = int(values.reshape(())) - int(linear.zero_point[0])
    return integer * float(linear.scale[0])
