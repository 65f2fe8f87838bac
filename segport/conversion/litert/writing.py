"""Write a network as a .tflite: NHWC, with the weights, scales and zero points that it has."""

import numpy as np
from onnx import ModelProto

from export.common.errors import ExportError
from export.onnx_graph.graph import dims, infer_shapes
from quantize.graph.qdq_graph import QdqGraph
from segport.conversion.litert.flatbuffer import Writer
from segport.conversion.litert.grid import grid_of, readable
from segport.conversion.litert.layers import Layer, layers
from segport.conversion.litert.layout import stored
from segport.conversion.litert.operators.table import OPERATORS
from segport.conversion.litert.refusal import Unsupported
from segport.conversion.litert.step import Network, Shape, Step

_TOLD = 6


def write(model: ModelProto) -> tuple[bytes, dict[str, int]]:
    """Return the .tflite of a network, and how many operators of each kind and type it holds.

    The input is (N, H, W, channels) float32, logits are (N, H, W, classes), masks (N, H, W).
    Raises ExportError naming every node that LiteRT has no equal of.
    """
    graph = QdqGraph(model)
    network = Network(graph, _shapes(model), Writer())
    inputs = {value.name: value for value in model.graph.input}
    for name in inputs:
        network.tensors[name] = network.writer.tensor(name, stored(network.shapes[name]), "float32")
    refused: list[str] = []
    for layer in layers(graph):
        try:
            _write(network, layer)
        except Unsupported as reason:
            refused.append(f"{layer.node.name} ({layer.node.op_type}: {reason})")
            _stand_in(network, layer)
    if refused:
        more = f" and {len(refused) - _TOLD} more" if len(refused) > _TOLD else ""
        raise ExportError(f"LiteRT has no equal of {', '.join(refused[:_TOLD])}{more}")
    return (
        network.writer.finish(
            {name: network.tensors[name] for name in inputs},
            {value.name: network.float_tensor(value.name) for value in model.graph.output},
        ),
        dict(sorted(network.writer.counts.items())),
    )


def _write(network: Network, layer: Layer) -> None:
    node = layer.node
    if node.op_type == "DequantizeLinear":
        if node.input[0] not in network.tensors:
            raise Unsupported("what it reads is no int8")
    elif node.op_type == "QuantizeLinear":
        _quantize(network, layer)
    elif node.op_type in OPERATORS:
        OPERATORS[node.op_type].write(Step(network, layer))
    else:
        raise Unsupported("no such operator")


def _quantize(network: Network, layer: Layer) -> None:
    """Write a Q that is no layer's own: from float, or from another grid."""
    linear = network.graph.quantizers[layer.node.output[0]]
    if not readable(linear) or linear.scale.size != 1:
        raise Unsupported(f"{linear.zero_point.dtype} with {linear.scale.size} scales")
    before = network.graph.dequantizers.get(linear.tensor)
    source = network.tensors[before.tensor] if before else network.float_tensor(linear.tensor)
    name = layer.results[0]
    network.tensors[name] = network.writer.tensor(name, source.shape, "int8", grid_of(linear))
    network.writer.operator("QUANTIZE", [source], [network.tensors[name]], None)


def _stand_in(network: Network, layer: Layer) -> None:
    """Give a refused layer's results, so that those behind it are looked at too."""
    for name, output in zip(layer.results, layer.node.output, strict=False):
        shape = stored(network.shapes.get(output, ()))
        grid = grid_of(layer.grids[0]) if layer.int8 else None
        network.tensors[name] = network.writer.tensor(name, shape, "float32", grid)


def _shapes(model: ModelProto) -> dict[str, Shape]:
    """Return the shape of every tensor; raise ExportError where one may vary."""
    shaped = infer_shapes(model, data_prop=True).graph
    found: dict[str, Shape] = {t.name: tuple(t.dims) for t in shaped.initializer}
    for value in [*shaped.input, *shaped.value_info, *shaped.output]:
        shape = dims(value)
        if None in shape:
            shown = "x".join("?" if size is None else str(size) for size in shape)
            raise ExportError(
                f"tensor {value.name} is {shown}, and LiteRT wants all sizes fixed; export with "
                "fixed batch and size"
            )
        found[value.name] = tuple(int(np.int64(size or 0)) for size in shape)
    return found
