"""Quantized convolutions of a QDQ file, and new nodes in their place."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from export.onnx_graph.graph import attributes, dims, infer_shapes, tensor_names
from export.onnx_graph.names import free_name
from quantize.graph.qdq_graph import Linear, QdqGraph


@dataclass(frozen=True)
class IntegerConv:
    """A 2-D convolution between DQs and the one Q that reads it.

    `shape` is that of its input and `result` that of its output, both (N, channels, h, w);
    `weight` (rows, channels / groups, kernel h, kernel w) and `bias` (rows,) are integers.
    """

    conv: NodeProto
    data: Linear
    weight: NDArray[np.integer]
    bias: NDArray[np.integer] | None
    weight_grid: Linear
    bias_grid: Linear | None
    after: Linear
    shape: tuple[int, int, int, int]
    result: tuple[int, int, int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]
    groups: int


def quantized_layers(model: ModelProto) -> Iterator[IntegerConv]:
    """Yield the convolutions whose shapes are known and whose padding is explicit."""
    graph = QdqGraph(model)
    inferred = infer_shapes(model, data_prop=True).graph
    shapes = {value.name: dims(value) for value in [*inferred.input, *inferred.value_info]}
    for node in graph.layers(("Conv",)):
        data, weight, bias = (graph.dequantizers.get(name) for name in [*node.input, "", ""][:3])
        readers = graph.readers[node.output[0]]
        after = graph.quantizers.get(readers[0].output[0]) if len(readers) == 1 else None
        if data is None or weight is None or after is None:
            continue
        given = attributes(node)
        known = [d for name in (node.input[0], node.output[0]) for d in shapes.get(name, ()) if d]
        biased = len(node.input) > 2 and node.input[2] != ""
        plain = given.get("auto_pad", b"NOTSET") == b"NOTSET" and (bias is not None) == biased
        if len(known) != 8 or not plain or weight.tensor not in graph.constants:
            continue
        yield IntegerConv(
            node,
            data,
            graph.constants[weight.tensor],
            graph.constants[bias.tensor] if bias else None,
            weight,
            bias,
            after,
            (known[0], known[1], known[2], known[3]),
            (known[4], known[5], known[6], known[7]),
            tuple(given.get("strides", (1, 1))),
            tuple(given.get("dilations", (1, 1))),
            tuple(given.get("pads", (0, 0, 0, 0))),
            given.get("group", 1),
        )


class IntegerWriter:
    """Collects the nodes that stand in place of a layer; integers pass between them."""

    def __init__(self, model: ModelProto, layer: IntegerConv) -> None:
        self._graph, self._layer = model.graph, layer
        self._nodes: list[NodeProto] = []
        self._constants = 0
        self._taken = tensor_names(model.graph)

    def constant(self, value: Any) -> str:
        """Add a constant and return its name."""
        name = free_name(f"{self._layer.conv.name}/constant_{self._constants}", self._taken)
        self._constants += 1
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def add(self, operator: str, inputs: Sequence[str], **given: Any) -> str:
        """Append a node and return its output's name; the first Conv is called as the layer."""
        layer = self._layer.conv.name
        made = free_name(f"{layer}/{operator}_{len(self._nodes)}", self._taken)
        first = operator == "Conv" and all(node.op_type != "Conv" for node in self._nodes)
        name = layer if first else made
        self._nodes.append(helper.make_node(operator, inputs, [made], name=name, **given))
        return made

    def move(
        self, grid: Linear, operator: str, tensors: Sequence[str], *more: str, **given: Any
    ) -> str:
        """Move integers on `grid` about, in float between DQs and a Q that runtimes drop."""
        parameters = list(grid.node.input[1:])
        values = [self.add("DequantizeLinear", [name, *parameters]) for name in tensors]
        return self.add(
            "QuantizeLinear", [self.add(operator, [*values, *more], **given), *parameters]
        )

    def conv(
        self, tensor: str, weight: str | NDArray[np.integer], kernel: Sequence[int], **given: Any
    ) -> str:
        """Convolve as the layer does, but with another kernel.

        `weight` is a tensor with the layer's rows, or integers with these once or several times.
        """
        layer, times = self._layer, 1
        if isinstance(weight, str):
            rows = self.add("DequantizeLinear", [weight, *self._weight_grid()], axis=0)
        else:
            times = len(weight) // len(layer.weight)
            rows = self._rows(layer.weight_grid, weight)
        data = self.add("DequantizeLinear", [tensor, *layer.data.node.input[1:]])
        bias = []
        if layer.bias is not None and layer.bias_grid is not None:
            bias = [self._rows(layer.bias_grid, np.tile(layer.bias, times))]
        inputs = [data, rows, *bias]
        made = self.add("Conv", inputs, kernel_shape=kernel, **{"group": layer.groups} | given)
        return self.add("QuantizeLinear", [made, *layer.after.node.input[1:]])

    def _weight_grid(self) -> list[str]:
        """Return scale and zero point of the weights, the zero point a constant of its own.

        Where products of u8 and s8 saturate (x86 without VNNI), onnxruntime turns weights to u8 and
        gives their zero point a new name, which it refuses to give twice.
        """
        grid = self._layer.weight_grid
        scale, *zero_point = grid.node.input[1:]
        return [scale, *(self.constant(grid.zero_point) for _ in zero_point)]

    def replace(self) -> None:
        """Put the nodes where the layer and its Q were; the last two give what these gave."""
        last, quantize = self._nodes[-2:]
        last.output[0] = quantize.input[0] = self._layer.after.tensor
        quantize.output[0] = self._layer.after.node.output[0]
        nodes = list(self._graph.node)
        at = nodes.index(self._layer.conv)
        nodes[at : at + 1] = self._nodes
        nodes.remove(self._layer.after.node)
        del self._graph.node[:]
        self._graph.node.extend(nodes)

    def _rows(self, grid: Linear, integers: NDArray[np.integer]) -> str:
        """Dequantize a constant that has the rows of `grid` once or several times."""
        if not any(setting.name == "axis" for setting in grid.node.attribute):
            scale, *zero_point = grid.node.input[1:]
            own = [self.constant(grid.zero_point.reshape(())) for _ in zero_point]
            return self.add("DequantizeLinear", [self.constant(integers), scale, *own])
        times = len(integers) // grid.scale.size
        values = [integers, np.tile(grid.scale, times), np.tile(grid.zero_point, times)]
        return self.add("DequantizeLinear", [self.constant(value) for value in values], axis=0)
