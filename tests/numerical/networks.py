"""Random small networks for the rewrites, and how far rounding may move what they give."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from tests.export.build import constant, model, value

Floats = NDArray[np.float32]
CHANNELS = (3, 4, 5, 8, 16, 33)
UNIT = 2.0**-24
"""Half a unit in the last place of float32, relative."""


class Builder:
    """A network that grows by one layer at a time; `tensor`, `channels`, `size` are its end."""

    def __init__(self, seed: int, channels: int = 3, size: int = 8) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.tensor, self.channels, self.size = "input", channels, size
        self.shape = (1, channels, size, size)

    def pick(self, *choices: int) -> int:
        return int(self.rng.choice(choices))

    def put(self, array: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(constant(name, np.asarray(array)))
        return name

    def add(self, operator: str, *inputs: str, **given: Any) -> str:
        name = f"t{len(self.nodes)}"
        made = helper.make_node(operator, inputs, [name], name=f"{operator}_{name}", **given)
        self.nodes.append(made)
        self.tensor = name
        return name

    def weight(self, *shape: int, first: int = 1) -> str:
        """Normal weights, whose channels differ by up to a factor of 100."""
        spread = 10.0 ** self.rng.uniform(-1, 1, (shape[0], *[1] * (len(shape) - 1)))
        fan = np.prod(shape[first:])
        return self.put((self.rng.normal(size=shape) * spread / np.sqrt(fan)).astype(np.float32))

    def conv(self, out: int | None = None, kernel: int | None = None, bias: float = 1.0) -> None:
        """Any kernel, groups and dilation; the size stays."""
        kernel = kernel or self.pick(1, 3, 3, 5)
        out = out or self.pick(*CHANNELS)
        groups = self.channels if self.rng.random() < 0.2 and kernel > 1 else 1
        out = self.channels if groups > 1 else out
        dilation = self.pick(1, 1, 2)
        weight = self.weight(out, self.channels // groups, kernel, kernel)
        shift = self.put((self.rng.normal(size=out) * bias).astype(np.float32))
        self.add(
            "Conv", self.tensor, weight, shift, group=groups, dilations=[dilation] * 2,
            pads=[dilation * (kernel // 2)] * 4,
        )  # fmt: skip
        self.channels = out

    def built(self) -> ModelProto:
        self.conv(6, 1)
        self.nodes[-1].output[0] = "logits"
        made = model(
            self.nodes, [value("input", self.shape)], [value("logits", [None] * 4)], self.constants
        )
        return onnx.shape_inference.infer_shapes(made, strict_mode=True)


def _relu(made: Builder) -> None:
    made.add("Relu", made.tensor)


def _relu6(made: Builder) -> None:
    made.add("Clip", made.tensor, made.put(np.float32(0)), made.put(np.float32(6)))


def _always_on(made: Builder) -> None:
    """Channels whose bias is far above what their weights make of an image."""
    weight = made.weight(8, made.channels, 1, 1)
    bias = made.put((made.rng.uniform(0, 60, 8) * made.rng.integers(0, 2, 8)).astype(np.float32))
    made.add("Conv", made.tensor, weight, bias)
    made.channels = 8
    (_relu if made.pick(0, 1) else _relu6)(made)
    made.conv(kernel=1)


def _prelu(made: Builder) -> None:
    slopes = made.rng.uniform(-1, 2, (made.channels, 1, 1)).astype(np.float32)
    made.add("PRelu", made.tensor, made.put(slopes))


def _hard(made: Builder) -> None:
    made.add("HardSwish" if made.pick(0, 1) else "HardSigmoid", made.tensor)


def _gelu(made: Builder) -> None:
    x = made.tensor
    scaled = made.add("Mul", x, made.put(np.float32(0.5**0.5)))
    plus = made.add("Add", made.add("Erf", scaled), made.put(np.float32(1)))
    half = made.add("Mul", plus, made.put(np.float32(0.5)))
    made.add("Mul", x, half)


def _residual(made: Builder) -> None:
    before, channels = made.tensor, made.channels
    made.conv(channels, 3)
    _relu(made)
    made.conv(channels, 1)
    if made.channels == channels:
        made.add("Add", before, made.tensor)


def _transposed(made: Builder) -> None:
    kernel = made.pick(2, 3, 4)
    weight = made.weight(made.channels, 5, kernel, kernel)
    bias = made.put(made.rng.normal(size=5).astype(np.float32))
    made.add(
        "ConvTranspose", made.tensor, weight, bias, strides=[2, 2], pads=[(kernel - 1) // 2] * 4,
        output_padding=[kernel % 2] * 2,
    )  # fmt: skip
    made.channels, made.size = 5, 2 * made.size


def _enlarged(made: Builder) -> None:
    """DeepLabV3+'s: enlarge, join with what is large already, convolve."""
    small, channels, size = made.tensor, made.channels, made.size
    pooled = made.add("AveragePool", small, kernel_shape=[4, 4], strides=[4, 4])
    full = made.put(np.array([1, channels, size, size]))
    mode = "align_corners" if made.pick(0, 1) else "half_pixel"
    up = made.add(
        "Resize", pooled, "", "", full, mode="linear", coordinate_transformation_mode=mode
    )
    made.add("Concat", small, up, axis=1)
    kernel, pad = made.pick(1, 3, 5), made.pick(0, 1, 1)
    weight = made.weight(8, 2 * channels, kernel, kernel)
    made.add("Conv", made.tensor, weight, pads=[pad * (kernel // 2)] * 4)
    made.channels, made.size = 8, size if pad else size - kernel + 1


def _dead(made: Builder) -> None:
    """Output channels whose weights are next to zero."""
    made.conv(8, 3)
    weights = next(t for t in made.constants if t.name == made.nodes[-1].input[1])
    values = numpy_helper.to_array(weights).copy()
    values[:2] *= np.float32(1e-14)
    weights.CopyFrom(constant(weights.name, values))


def _norm(made: Builder) -> None:
    """Behind a sum, where no convolution takes it in."""
    _residual(made)
    drawn = [made.rng.normal(size=made.channels) for _ in range(3)]
    variance = made.rng.uniform(0.1, 4, made.channels)
    names = [made.put(one.astype(np.float32)) for one in (*drawn, variance)]
    made.add("BatchNormalization", made.tensor, *names)


def _gated(made: Builder) -> None:
    before, channels = made.tensor, made.channels
    made.add("GlobalAveragePool", before)
    made.add("Conv", made.tensor, made.weight(channels, channels, 1, 1))
    made.add("Sigmoid", made.tensor)
    made.add("Mul", *((before, made.tensor) if made.pick(0, 1) else (made.tensor, before)))


def _batched(made: Builder) -> None:
    """Pooled with weights that all channels share, as images of one channel."""
    half = made.size // 2
    shapes = [(made.channels, 1, made.size, made.size), (1, made.channels, half, half)]
    single, several = (made.put(np.array(shape)) for shape in shapes)
    made.add("Reshape", made.tensor, single)
    made.add("Conv", made.tensor, made.weight(1, 1, 2, 2), kernel_shape=[2, 2], strides=[2, 2])
    made.add("Reshape", made.tensor, several)
    made.size = half


def _joined(made: Builder) -> None:
    """What was cut off beside what was not: their values lie in other ranges."""
    before, channels = made.tensor, made.channels
    made.conv(8)
    made.add("Clip", made.tensor, made.put(np.float32(0)), made.put(np.float32(made.pick(1, 6))))
    cut, of_cut = made.tensor, made.channels
    made.tensor, made.channels = before, channels
    made.conv(8, bias=20.0)
    made.add("Concat", cut, made.tensor, axis=1)
    made.channels += of_cut


PARTS: dict[str, Callable[[Builder], None]] = {
    "relu": _relu, "relu6": _relu6, "always on": _always_on, "prelu": _prelu, "hard": _hard,
    "gelu": _gelu, "residual": _residual, "transposed": _transposed, "enlarged": _enlarged,
    "dead": _dead, "conv": Builder.conv, "norm": _norm, "gated": _gated, "batched": _batched,
    "joined": _joined,
}  # fmt: skip


def network(seed: int, parts: Sequence[str] | None = None) -> ModelProto:
    """A convolution, two to four random parts or those named, and a convolution to six classes."""
    made = Builder(seed)
    made.conv(kernel=3)
    chosen = parts or made.rng.choice(list(PARTS), made.pick(2, 3, 4), replace=False)
    for part in chosen:
        PARTS[part](made)
    return made.built()


def images(made: ModelProto, count: int, seed: int = 0) -> list[Floats]:
    rng = np.random.default_rng(seed)
    shape = [d.dim_value for d in made.graph.input[0].type.tensor_type.shape.dim]
    return [rng.normal(size=shape).astype(np.float32) for _ in range(count)]


def exactly(made: ModelProto, image: Floats) -> NDArray[np.float64]:
    """The logits by ONNX's reference implementation, in double precision."""
    return _evaluated(_doubled(made), image)


_STEEPEST = {"Erf": 1.13, "HardSwish": 1.5, "PRelu": 2.0}
"""Largest slope; Relu, Clip and HardSigmoid have at most 1."""
_GATES = frozenset({"HardSwish", "Mul"})


def allowed(made: ModelProto, image: Floats) -> NDArray[np.float64]:
    """How far a logit may move when every constant is rounded to float32 once more.

    To first order in the unit of rounding u: a weight that is u off moves a sum by u * |w| |x|,
    and what follows multiplies an error by |w|, or by the steepest slope of an activation (Higham,
    Accuracy and Stability of Numerical Algorithms, 3.1). So the network with |w|, |b| and |x|, its
    activations replaced by these slopes, bounds what u in every constant does, times the number
    of layers on the way, and twice where two tensors meet in a product.
    """
    graph = _doubled(made)
    for tensor in graph.graph.initializer:
        if tensor.data_type == TensorProto.DOUBLE:
            tensor.CopyFrom(constant(tensor.name, np.abs(numpy_helper.to_array(tensor))))
    constants = {tensor.name: tensor for tensor in graph.graph.initializer}
    for node in list(graph.graph.node):
        if node.op_type in ("Relu", "Clip", "Neg", "HardSigmoid"):
            _turn_into(node, "Identity", node.input[0])
        elif node.op_type in _STEEPEST:
            factor = f"{node.name}/steepest"
            graph.graph.initializer.append(constant(factor, np.float64(_STEEPEST[node.op_type])))
            _turn_into(node, "Mul", node.input[0], factor)
        elif node.op_type in ("Sub", "Max"):
            node.op_type = "Add"
        elif node.op_type == "BatchNormalization":  # takes the mean away
            mean = constants[node.input[3]]
            mean.CopyFrom(constant(mean.name, -numpy_helper.to_array(mean)))
        elif node.op_type == "Sigmoid":  # at most 1, of slope 1/4
            quarter, one, scaled = (f"{node.name}/{part}" for part in ("quarter", "one", "scaled"))
            graph.graph.initializer.append(constant(quarter, np.float64(0.25)))
            graph.graph.initializer.append(constant(one, np.float64(1)))
            at = list(graph.graph.node).index(node)
            slope = helper.make_node("Mul", [node.input[0], quarter], [scaled])
            _turn_into(node, "Add", scaled, one)
            graph.graph.node.insert(at, slope)
    gates = sum(node.op_type in _GATES for node in made.graph.node)
    return 2.0**gates * len(made.graph.node) * UNIT * _evaluated(graph, np.abs(image))


def _doubled(made: ModelProto) -> ModelProto:
    """A copy whose float32 constants and inputs are float64."""
    copy = ModelProto()
    copy.CopyFrom(made)
    del copy.graph.value_info[:]
    for tensor in copy.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(constant(tensor.name, numpy_helper.to_array(tensor).astype(float)))
    for end in (*copy.graph.input, *copy.graph.output):
        end.type.tensor_type.elem_type = TensorProto.DOUBLE
    return copy


def _evaluated(made: ModelProto, image: Floats) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):
        (found,) = ReferenceEvaluator(made).run(None, {"input": image.astype(np.float64)})
    assert found.dtype == np.float64
    return np.asarray(found)


def _turn_into(node: NodeProto, operator: str, *inputs: str) -> None:
    node.op_type = operator
    node.input[:] = inputs
    del node.attribute[:]
