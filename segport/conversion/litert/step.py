"""What the function that writes an operator is given: the layer, and the file in the making."""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.onnx_graph.graph import attributes
from quantize.graph.qdq_graph import QdqGraph
from segport.conversion.litert.flatbuffer import Options, Tensor, Writer, options
from segport.conversion.litert.grid import Grid, dequantized, grid_of, shifted
from segport.conversion.litert.layers import Layer
from segport.conversion.litert.layout import (
    TO_NCHW,
    TO_NHWC,
    only_reshapes,
    permuted,
    stored,
    stored_operand,
)
from segport.conversion.litert.refusal import Unsupported

Shape = tuple[int, ...]


class Weight(NamedTuple):
    """A constant weight in ONNX's order of axes: float32, or int8 with its scales."""

    values: NDArray[Any]
    scales: NDArray[np.float64] | None


class Network:
    """The ONNX graph with its shapes, and the tensors that stand for its own in the file."""

    def __init__(self, graph: QdqGraph, shapes: dict[str, Shape], writer: Writer) -> None:
        self.graph = graph
        self.shapes = shapes
        self.writer = writer
        self.tensors: dict[str, Tensor] = {}

    def float_tensor(self, name: str) -> Tensor:
        """Return a computed tensor as it is, behind a DQ in float32."""
        if name not in self.tensors:
            source = self.tensors[self.graph.dequantizers[name].tensor]
            self.tensors[name] = self.writer.tensor(name, source.shape, "float32")
            self.writer.operator("DEQUANTIZE", [source], [self.tensors[name]], None)
        return self.tensors[name]


class Step:
    """One layer to be written. Inputs are counted as in the ONNX operator."""

    def __init__(self, network: Network, layer: Layer) -> None:
        self.layer = layer
        self.node = layer.node
        self.attributes = attributes(layer.node)
        self._network = network
        self._graph = network.graph

    def has(self, index: int) -> bool:
        """Whether an input is given."""
        return index < len(self.node.input) and bool(self.node.input[index])

    def shape(self, index: int = 0) -> Shape:
        """Return an input's shape in ONNX's order."""
        return self._network.shapes[self.node.input[index]]

    def result_shape(self, output: int = 0) -> Shape:
        """Return a result's shape in ONNX's order."""
        return self._network.shapes[self.node.output[output]]

    def value(self, index: int) -> NDArray[Any]:
        """Return a constant input, in float32 where it is behind a DQ."""
        return self.weight(index, as_float=True).values

    def weight(self, index: int, axis: int = 0, *, as_float: bool = False) -> Weight:
        """Return a constant, as int8 where the layer computes in it; scales lie along `axis`."""
        name = self.node.input[index]
        if name in self._graph.constants:
            return Weight(self._graph.constants[name], None)
        linear = self._graph.dequantizers.get(name)
        if linear is None or linear.tensor not in self._graph.constants:
            raise Unsupported(f"input {index} ({name}) is computed, and must be a constant")
        integers = self._graph.constants[linear.tensor]
        if not self.layer.int8 or as_float:
            return Weight(dequantized(integers, linear, axis), None)
        if any(grid_of(linear).zeros):
            raise Unsupported("weights with a zero point")
        return Weight(shifted(integers), linear.scale.astype(np.float64))

    def read(self, index: int = 0, rank: int = 0) -> Tensor:
        """Return an input as stored; `rank` is that of what it is broadcast against."""
        return self._read(self.node.input[index], rank or len(self.result_shape()))

    def read_all(self) -> list[Tensor]:
        """Return all inputs."""
        return [self.read(index) for index in range(len(self.node.input))]

    def integers(self, index: int = 0) -> Tensor:
        """Return an input as stored, behind a DQ the integers themselves."""
        linear = self._graph.dequantizers.get(self.node.input[index])
        if linear and linear.tensor in self._network.tensors:
            return self._network.tensors[linear.tensor]
        return self.read(index)

    def is_constant(self, index: int) -> bool:
        """Whether an input is a constant, maybe behind a DQ."""
        name = self.node.input[index]
        linear = self._graph.dequantizers.get(name)
        return name in self._graph.constants or bool(
            linear and linear.tensor in self._graph.constants
        )

    def grid(self, output: int = 0) -> Grid | None:
        """Return the grid that a result shall have; None in float."""
        return grid_of(self.layer.grids[output]) if self.layer.int8 else None

    def constant(self, value: NDArray[Any], grid: Grid | None = None) -> Tensor:
        """Add a constant."""
        name = f"{self.node.name}/constant"
        return self._network.writer.constant(name, value, grid)

    def indices(self, values: Sequence[int]) -> Tensor:
        """Add an int32 constant, as shapes, axes and sizes are given."""
        return self.constant(np.asarray(values, np.int32))

    def make(
        self,
        code: str,
        inputs: Sequence[Tensor],
        given: Options | None = None,
        *,
        shape: Shape | None = None,
        like: Tensor | None = None,
        grid: Grid | None = None,
        dtype: str | None = None,
    ) -> Tensor:
        """Add an operator and return what it gives.

        Its shape, as stored, is the layer's result's. It has type and grid of `like`, or the
        layer's, or those given.
        """
        grid = grid or (like.grid if like else self.grid())
        dtype = dtype or (like.dtype if like else "int8" if self.layer.int8 else "float32")
        shape = stored(self.result_shape()) if shape is None else shape
        made = self._network.writer.tensor(f"{self.node.name}/{code}", shape, dtype, grid)
        self._network.writer.operator(code, inputs, [made], given)
        return made

    def give(self, tensor: Tensor, output: int = 0) -> None:
        """Say that a tensor is the layer's result; in int8 it is brought to the result's grid."""
        result = self.layer.results[output]
        wanted = self.grid(output)
        if wanted and tensor.grid != wanted:
            tensor = self.make("QUANTIZE", [tensor], shape=tensor.shape, grid=wanted, dtype="int8")
        if tensor not in self._network.tensors.values():
            self._network.writer.rename(tensor, result)
        self._network.tensors[result] = tensor

    def on_grid(self, tensor: Tensor, grid: Grid | None) -> Tensor:
        """Return a tensor with another grid."""
        if not self.layer.int8 or tensor.grid == grid:
            return tensor
        return self.make("QUANTIZE", [tensor], shape=tensor.shape, grid=grid, dtype="int8")

    def reshape(self, tensor: Tensor, shape: Shape) -> Tensor:
        """Return a tensor in another shape, as stored."""
        if tensor.shape == shape:
            return tensor
        given = options("ReshapeOptions", newShape=list(shape))
        return self.make("RESHAPE", [tensor, self.indices(shape)], given, shape=shape, like=tensor)

    def transpose(self, tensor: Tensor, order: Sequence[int]) -> Tensor:
        """Return a tensor with its axes in another order."""
        shape = permuted(tensor.shape, order)
        if only_reshapes(tensor.shape, order):
            return self.reshape(tensor, shape)
        given = options("TransposeOptions")
        return self.make(
            "TRANSPOSE", [tensor, self.indices(order)], given, shape=shape, like=tensor
        )

    def natural(self, tensor: Tensor) -> Tensor:
        """Return a tensor with its axes as ONNX has them."""
        return self.transpose(tensor, TO_NCHW) if len(tensor.shape) == 4 else tensor

    def stored(self, tensor: Tensor) -> Tensor:
        """Return a tensor, whose axes are as ONNX has them, as it is stored."""
        return self.transpose(tensor, TO_NHWC) if len(tensor.shape) == 4 else tensor

    def _read(self, name: str, rank: int) -> Tensor:
        graph, network = self._graph, self._network
        linear = graph.dequantizers.get(name)
        if name in graph.constants:
            return self.constant(stored_operand(_plain(graph.constants[name]), rank))
        if linear and linear.tensor in graph.constants:
            integers = graph.constants[linear.tensor]
            if not self.layer.int8:
                return self.constant(stored_operand(dequantized(integers, linear, 0), rank))
            return self.constant(stored_operand(shifted(integers), rank), grid_of(linear))
        tensor = network.tensors[linear.tensor] if linear and self.layer.int8 else None
        return self._broadcast(tensor or network.float_tensor(name), rank)

    def _broadcast(self, tensor: Tensor, rank: int) -> Tensor:
        """Bring a computed tensor of fewer axes to where NHWC wants them."""
        if rank != 4 or len(tensor.shape) == 4 or prod(tensor.shape) == 1:
            return tensor
        whole = (1,) * (4 - len(tensor.shape)) + tensor.shape
        return self.stored(self.reshape(tensor, whole))


def _plain(value: NDArray[Any]) -> NDArray[Any]:
    return value.astype(np.float32) if value.dtype == np.float64 else value
