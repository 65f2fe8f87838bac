"""What layers cost here, in float and in int8: the figures of quantize/partition/costs.py.

    python benchmarks/operator_costs.py

Nanoseconds of one core, differences of a chain of 6 equal layers and one of 2, the least of
several runs' CPU time each, so that other processes count little. Weights have the bits that this
machine's own target gives them. Needs no images and takes about a minute.
"""

import time
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from tabulate import tabulate

from export.ort.sessions import cpu_facts, session_options
from quantize.host import default_target
from quantize.targets import get_target

LONG, SHORT = 6, 2
_RUNS = 25
_PIXELS = 64
_SCALE, _ZERO = "scale", "zero"


@dataclass(frozen=True)
class Layer:
    """`operator` on (1, channels, 64, 64); in the chain a convolution before each, if `behind`.

    `weight` is the shape of a convolution's or product's weight, `twice` whether it reads its
    input twice, `int8` whether there is a kernel for it.
    """

    operator: str
    channels: int = 64
    weight: tuple[int, ...] = ()
    given: Mapping[str, Any] = field(default_factory=dict)
    twice: bool = False
    behind: bool = False
    int8: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        """Of input and result; a product's pixels are tokens."""
        if self.operator == "MatMul":
            return (1, _PIXELS**2, self.channels)
        return (1, self.channels, _PIXELS, _PIXELS)

    @property
    def macs(self) -> int:
        """Multiply-accumulates, 0 of a layer without weights."""
        return _PIXELS**2 * int(np.prod(self.weight)) if self.weight else 0

    @property
    def values(self) -> int:
        """Values of the result."""
        return _PIXELS**2 * self.channels


def _conv(channels: int, kernel: int, *, group: int = 1) -> Layer:
    given = {"kernel_shape": [kernel] * 2, "pads": [kernel // 2] * 4, "group": group}
    return Layer("Conv", channels, (channels, channels // group, kernel, kernel), given)


CONVERSIONS = "to float, Abs, to int8"
LAYERS: Mapping[str, Layer] = {
    "Conv 64 1x1": _conv(64, 1),
    "Conv 256 1x1": _conv(256, 1),
    "Conv 64 3x3": _conv(64, 3),
    "Conv 18 1x1": _conv(18, 1),
    "Conv depthwise 3x3": _conv(64, 3, group=64),
    "Conv depthwise 5x5": _conv(64, 5, group=64),
    "Conv 4 groups of 16": _conv(64, 1, group=4),
    "Conv 4 groups of 5": _conv(20, 1, group=4),
    "Add": Layer("Add", twice=True),
    "Mul": Layer("Mul", twice=True),
    "Concat": Layer("Concat", twice=True, given={"axis": 1}),
    "Sigmoid": Layer("Sigmoid"),
    "LeakyRelu": Layer("LeakyRelu"),
    "PRelu": Layer("PRelu", weight=(64, 1, 1), int8=False),
    "AveragePool 3x3": Layer(
        "AveragePool", given={"kernel_shape": [3, 3], "pads": [1] * 4, "strides": [1, 1]}
    ),
    **{
        f"{operator} behind Conv": Layer(operator, behind=True, int8=operator in ("Relu", "Clip"))
        for operator in ("Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Erf")
    },
    "MatMul 64": Layer("MatMul", 64, (64, 64)),
    "MatMul 256": Layer("MatMul", 256, (256, 256)),
    CONVERSIONS: Layer("Abs"),  # which has no int8 kernel
}


class _Chain:
    """A graph that is written layer by layer."""

    def __init__(self, layer: Layer, length: int, quantized: bool, bits: int) -> None:
        self.layer, self.quantized = layer, quantized
        self.draw = np.random.default_rng(0)
        self.largest = 2 ** (bits - 1) - 1
        self.nodes: list[NodeProto] = []
        self.constants = [
            numpy_helper.from_array(np.array(0.05, np.float32), _SCALE),
            numpy_helper.from_array(np.array(128, np.uint8), _ZERO),
        ]
        tensor = self._pair("x") if quantized else "x"
        if layer.operator not in ("Conv", "MatMul"):
            tensor = self._apply(_conv(layer.channels, 1), tensor)  # in its layout
        for _ in range(length):
            if layer.behind:
                tensor = self._apply(_conv(layer.channels, 1), tensor)
            tensor = self._apply(layer, tensor)
        self.output = tensor

    def add(self, operator: str, inputs: list[str], **given: Any) -> str:
        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **given))
        return name

    def _pair(self, tensor: str) -> str:
        integers = self.add("QuantizeLinear", [tensor, _SCALE, _ZERO])
        return self.add("DequantizeLinear", [integers, _SCALE, _ZERO])

    def _apply(self, layer: Layer, tensor: str) -> str:
        inputs = [tensor, tensor] if layer.twice else [tensor]
        if layer.weight:
            inputs.append(self._weight(layer.weight))
        made = self.add(layer.operator, inputs, **layer.given)
        if layer.operator == "Concat":  # half of it goes on
            ends = [self._constant(np.array([value])) for value in (0, layer.channels, 1)]
            made = self.add("Slice", [made, *ends])
        return self._pair(made) if self.quantized else made

    def _weight(self, shape: tuple[int, ...]) -> str:
        integers = self.draw.integers(-self.largest, self.largest, shape, np.int8, endpoint=True)
        if not self.quantized:
            return self._constant((integers / 100).astype(np.float32))
        zero = self._constant(np.zeros((), np.int8))
        return self.add("DequantizeLinear", [self._constant(integers), _SCALE, zero])

    def _constant(self, values: NDArray[Any]) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def model(self) -> ModelProto:
        shape = self.layer.shape
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name in ("x", self.output)
        ]
        graph = helper.make_graph(self.nodes, "chain", ends[:1], ends[1:], self.constants)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        made.ir_version = 9
        return made


def nanoseconds(layer: Layer, quantized: bool, bits: int) -> float:
    """Return what one more layer takes, without the convolution before it."""
    before = _conv(layer.channels, 1)
    return _more(layer, quantized, bits) - (_more(before, quantized, bits) if layer.behind else 0)


def _more(layer: Layer, quantized: bool, bits: int) -> float:
    runs = [_runner(_Chain(layer, length, quantized, bits).model()) for length in (LONG, SHORT)]
    long, short = (min(taken) for taken in zip(*_in_turns(runs), strict=True))
    return (long - short) / (LONG - SHORT)


def _runner(model: ModelProto) -> Callable[[], float]:
    options = session_options()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options)
    shape = [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim]
    image = np.random.default_rng(1).normal(size=shape).astype(np.float32)

    def run() -> float:
        start = time.process_time_ns()
        session.run(None, {"x": image})
        return time.process_time_ns() - start

    return run


def _in_turns(runs: list[Callable[[], float]]) -> list[list[float]]:
    for run in runs:
        run()
    return [[run() for run in runs] for _ in range(_RUNS)]


def main() -> None:
    """Print nanoseconds per value of the result, and MACs per nanosecond."""
    ArgumentParser(description=str(__doc__).splitlines()[0]).parse_args()
    target = default_target(cpu_facts())
    bits = get_target(target).weight_max.bit_length() + 1
    rows = [
        [
            name,
            _figure(layer, nanoseconds(layer, False, bits)),
            _figure(layer, nanoseconds(layer, True, bits)) if layer.int8 else "-",
        ]
        for name, layer in LAYERS.items()
    ]
    print(f"{target}, weights of {bits} bits; ns per value of the result")
    print(tabulate(rows, ["layer", "float", "int8"]))


def _figure(layer: Layer, taken: float) -> str:
    per_value = f"{taken / layer.values:.3f}"
    if layer.operator not in ("Conv", "MatMul"):
        return per_value
    return f"{per_value}, {layer.macs / taken:.1f} MACs/ns"


if __name__ == "__main__":
    main()
