"""Read a QDQ graph: which tensors are quantized, and on which grid."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, numpy_helper

from export.common.errors import ArtifactError, first_line
from export.onnx_graph.graph import attribute, consumers, float_tensors, infer_shapes
from quantize.targets import MOVES

_WEIGHTED = ("Conv", "Gemm", "MatMul")
_ONE_INPUT = ("Relu", "Clip", "LeakyRelu", "Sigmoid", "Resize", *MOVES)


@dataclass(frozen=True)
class Linear:
    """A QuantizeLinear or DequantizeLinear: its node, flat scales and zero points."""

    node: NodeProto
    scale: NDArray[np.floating]
    zero_point: NDArray[np.integer]

    @property
    def tensor(self) -> str:
        """The tensor it reads."""
        return str(self.node.input[0])


@dataclass(frozen=True)
class Weight:
    """A quantized weight of `layer`; `channels` are its output channels."""

    layer: str
    name: str
    integers: NDArray[np.integer]
    linear: Linear
    channels: int


@dataclass(frozen=True)
class Bias:
    """The bias of a layer whose input is quantized; `linear` is None when it is in float."""

    layer: str
    name: str
    linear: Linear | None
    integers: NDArray[Any] | None
    scale: NDArray[np.floating]
    """Scale of the layer's input times that of its weight: the accumulator's."""


class QdqGraph:
    """A graph with its constants, producers, readers, quantizers and dequantizers at hand.

    Raises ArtifactError when a scale or zero point is computed, or when types contradict.
    """

    def __init__(self, model: ModelProto) -> None:
        bare = ModelProto()
        bare.CopyFrom(model)
        del bare.graph.value_info[:]
        try:
            shaped = infer_shapes(bare)
        except onnx.shape_inference.InferenceError as error:
            raise ArtifactError(f"types of tensors contradict ({first_line(error)})") from error
        self.model = model
        self.nodes = list(model.graph.node)
        self.constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self.constants |= dict(self._parts())
        self.producers = {name: node for node in self.nodes for name in node.output}
        self.readers = consumers(model.graph)
        self.outputs = {value.name for value in model.graph.output}
        self.floats = float_tensors(shaped).keys()
        linear = [n for n in self.nodes if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
        self.quantizers = {n.output[0]: self._linear(n) for n in linear if n.op_type[0] == "Q"}
        self.dequantizers = {n.output[0]: self._linear(n) for n in linear if n.op_type[0] == "D"}

    def _parts(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Yield what Slices cut out of constants, which runtimes do when they load the file."""
        for node in self.nodes:
            if node.op_type == "Slice" and all(name in self.constants for name in node.input):
                whole, first, last, axes = (self.constants[name] for name in node.input[:4])
                index = [slice(None)] * whole.ndim
                for start, end, axis in zip(first, last, axes, strict=True):
                    index[axis] = slice(start, end)
                yield node.output[0], whole[tuple(index)]

    def _linear(self, node: NodeProto) -> Linear:
        if missing := set(node.input[1:]) - self.constants.keys():
            raise ArtifactError(
                f"{node.name}: {missing.pop()} is not a constant; Q/DQ need constants"
            )
        zero = self.constants[node.input[2]] if len(node.input) > 2 else np.zeros(1, np.uint8)
        return Linear(node, self.constants[node.input[1]].reshape(-1), zero.reshape(-1))

    def layers(self, operators: tuple[str, ...]) -> list[NodeProto]:
        """Return the nodes of `operators` that compute a float tensor."""
        return [n for n in self.nodes if n.op_type in operators and n.output[0] in self.floats]

    def activations(self) -> list[Linear]:
        """Return the quantizers of computed tensors."""
        return [q for q in self.quantizers.values() if q.tensor not in self.constants]

    def weights(self) -> Iterator[Weight]:
        """Yield the quantized weights, integer ones and float ones behind a Q/DQ pair."""
        for node in self.nodes:
            linear = self.dequantizers.get(node.input[1]) if node.op_type in _WEIGHTED else None
            if linear is None:
                continue
            quantizer = self.quantizers.get(linear.tensor)
            name = quantizer.tensor if quantizer else linear.tensor
            if name not in self.constants:
                continue
            values = self.constants[name]
            first = node.op_type == "Conv" or attribute(node, "transB")
            axis = 0 if first else values.ndim - 1
            if quantizer:
                shape = [-1 if i == axis else 1 for i in range(values.ndim)]
                with np.errstate(divide="ignore", invalid="ignore"):
                    values = np.rint(values / quantizer.scale.reshape(shape))
            yield Weight(node.name, name, values, linear, values.shape[axis])

    def biases(self) -> Iterator[Bias]:
        """Yield the biases of layers whose input and weight are quantized."""
        for node in self.nodes:
            if node.op_type not in _WEIGHTED or len(node.input) < 3 or not node.input[2]:
                continue
            around = [self.dequantizers.get(name) for name in node.input[:2]]
            if around[0] is None or around[1] is None:
                continue
            linear = self.dequantizers.get(node.input[2])
            name = linear.tensor if linear else str(node.input[2])
            integers = self.constants.get(name) if linear else None
            yield Bias(node.name, name, linear, integers, around[0].scale * around[1].scale)


def data_inputs(node: NodeProto) -> list[str]:
    """Return the inputs that carry activations or a weight: no bias, bound or size."""
    if node.op_type in _ONE_INPUT:
        return [str(node.input[0])]
    return [str(name) for name in (node.input[:2] if node.op_type in _WEIGHTED else node.input)]
