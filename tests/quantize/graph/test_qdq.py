"""Where Q/DQ pairs stand and on which grid, read off the graph without quantize's own helpers."""

import hashlib
import sys
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from export.artifact.artifact import Artifact
from quantize.graph.insertion.fixed_scales import power_of_two, weight_scale
from quantize.graph.plan import Plan, build
from quantize.graph.rounded_weight import RoundedWeight
from quantize.ranges.ranges import Range
from quantize.targets import TARGETS
from tests.export.build import constant, model, plain_session, value, weight
from tests.segport.process import process
from validate.samples.samples import Samples


class Wanted(NamedTuple):
    activation: type
    symmetric: bool
    per_channel: bool
    largest: int
    bias: type


WANTED = {
    "cpu": Wanted(np.uint8, False, True, 127, np.int32),
    "cpu-avx2": Wanted(np.uint8, False, True, 63, np.int32),
    "arm": Wanted(np.int8, False, True, 127, np.int32),
    "openvino": Wanted(np.uint8, False, True, 127, np.float32),
    "tensorrt": Wanted(np.int8, True, True, 127, np.float32),
    "npu": Wanted(np.int8, True, False, 127, np.int32),
    "npu-pow2": Wanted(np.int8, True, False, 127, np.int32),
    "per-tensor": Wanted(np.uint8, False, False, 127, np.int32),
}
every_target = pytest.mark.parametrize("name", WANTED)


def residual() -> ModelProto:
    """A ResNet block whose skip branch is a convolution too, with a Resize.

    input -> Conv a -> Relu -> Conv main -> Add <- Conv down <- input; Add -> Relu -> Resize
    -> Mul -> Conv head -> Resize -> logits.
    """
    nodes = [
        helper.make_node("Conv", ["input", "w_down"], ["down"], name="conv_down"),
        helper.make_node("Conv", ["input", "w_a", "b_a"], ["a"], name="conv_a", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["a_relu"], name="relu_a"),
        helper.make_node("Conv", ["a_relu", "w_main", "b_main"], ["main"], name="conv_main"),
        helper.make_node("Add", ["main", "down"], ["sum"], name="add"),
        helper.make_node("Relu", ["sum"], ["sum_relu"], name="relu_sum"),
        helper.make_node(
            "Resize", ["sum_relu", "", "twice"], ["big"], name="resize", mode="linear"
        ),
        helper.make_node("Mul", ["big", "factor"], ["scaled"], name="mul"),
        helper.make_node("Conv", ["scaled", "w_head", "b_head"], ["head"], name="conv_head"),
        helper.make_node("Resize", ["head", "", "twice"], ["logits"], name="resize_logits"),
    ]
    constants = [
        weight("w_down", 6, 3, 1, 1, seed=1), weight("w_a", 5, 3, 3, 3, seed=2),
        weight("b_a", 5, seed=3), weight("w_main", 6, 5, 1, 1, seed=4), weight("b_main", 6, seed=5),
        weight("w_head", 4, 6, 1, 1, seed=6), weight("b_head", 4, seed=7),
        constant("twice", np.array([1, 1, 2, 2], np.float32)),
        constant("factor", np.full((1, 6, 1, 1), 0.3, np.float32)),
    ]  # fmt: skip
    made = model(
        nodes,
        [value("input", (1, 3, 8, 8))],
        [value("logits", (1, 4, 32, 32))],
        constants,
    )
    return onnx.shape_inference.infer_shapes(made)


IMAGE = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)


def _tensors(made: ModelProto, names: list[str], image: Any = IMAGE) -> list[NDArray[np.float32]]:
    copy = ModelProto()
    copy.CopyFrom(made)
    del copy.graph.output[:]
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = plain_session(copy)
    found: list[NDArray[np.float32]] = session.run(names, {"input": image})
    return found


def _plan(made: ModelProto, name: str, image: Any, **weights: RoundedWeight) -> Plan:
    """Quantize all layers but the last, each tensor over the range one image spans."""
    target = TARGETS[name]
    layers = [n for n in made.graph.node[:-1] if n.op_type in target.operators]
    names = [t for n in made.graph.node for t in n.output if t != "logits"]
    ranges: dict[str, Range] = {"input": (float(image.min()), float(image.max()))}
    for tensor, values in zip(names, _tensors(made, names, image), strict=True):
        ranges[tensor] = (float(values.min()), float(values.max()))
    for n in layers:  # what a Relu or Clip cuts off is not measured
        if n.op_type in ("Relu", "Clip"):
            ranges[n.input[0]] = ranges[n.output[0]]
    return Plan(made, target, tuple(n.name for n in layers), ranges, weights)


class Walk:
    """A graph's constants, producers and readers."""

    def __init__(self, made: ModelProto) -> None:
        self.nodes = list(made.graph.node)
        self.constants = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer}
        self.producer = {name: node for node in self.nodes for name in node.output}
        self.readers: dict[str, list[NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                self.readers[name].append(node)

    def of(self, operator: str) -> list[NodeProto]:
        return [node for node in self.nodes if node.op_type == operator]

    def kind(self, tensor: str) -> str:
        return self.producer[tensor].op_type if tensor in self.producer else "constant"

    def quantized(self) -> set[str]:
        """Computed tensors with a Q/DQ pair."""
        names = {node.input[0] for node in self.of("QuantizeLinear")}
        return names - self.constants.keys()

    def weight(self, layer: NodeProto) -> tuple[str, Any, Any, Any]:
        """Name without suffix, integers, scale and zero point of a convolution's weight."""
        dequantize = self.producer[layer.input[1]]
        scale, zero = (self.constants[name] for name in dequantize.input[1:])
        quantize = self.producer.get(dequantize.input[0])
        if quantize is None:
            name = dequantize.input[0]
            return name.removesuffix("_quantized"), self.constants[name], scale, zero
        values = self.constants[quantize.input[0]]
        shape = (-1, *[1] * (values.ndim - 1)) if scale.ndim else ()
        return quantize.input[0], np.rint(values / scale.reshape(shape)), scale, zero


@pytest.fixture(scope="module")
def networks(tiny: Artifact, samples: Samples) -> dict[str, tuple[ModelProto, Any]]:
    loaded = onnx.shape_inference.infer_shapes(onnx.load(tiny.path))
    return {"tiny": (loaded, samples[0].image), "residual": (residual(), IMAGE)}


@pytest.fixture(scope="module")
def built(networks: dict[str, Any]) -> dict[tuple[str, str], tuple[ModelProto, Plan]]:
    found = {}
    for network, (made, image) in networks.items():
        for name in WANTED:
            plan = _plan(made, name, image)
            found[network, name] = build(plan), plan
    return found


every_network = pytest.mark.parametrize("network", ["tiny", "residual"])
Built = dict[tuple[str, str], tuple[ModelProto, Plan]]


@every_target
@every_network
def test_activations_are_on_the_grid_their_ranges_give(
    network: str, name: str, built: Built
) -> None:
    made, plan = built[network, name]
    wanted, walk = WANTED[name], Walk(made)
    checked = 0
    for node in walk.of("QuantizeLinear"):
        if node.input[0] in walk.constants:
            continue
        scale, zero = (walk.constants[n] for n in node.input[1:])
        assert (zero.dtype, scale.shape) == (wanted.activation, ())
        low, high = plan.ranges[node.input[0]]
        if name in ("npu", "npu-pow2") and walk.kind(node.input[0]) == "Resize":
            # interpolation keeps the grid of its input
            low, high = plan.ranges[walk.producer[node.input[0]].input[0].split("_Deq")[0]]
        low, high = min(low, 0.0), max(high, 0.0)
        if not wanted.symmetric:
            expected = (high - low) / 255
            smallest = np.iinfo(wanted.activation).min
            assert zero == round(smallest - low / expected)
        else:
            expected = max(-low, high) / 127
            assert zero == 0
        if name == "npu-pow2":
            assert scale / 2 < expected <= scale * (1 + 1e-6)
            assert np.log2(scale) == np.rint(np.log2(scale))
        else:
            assert scale == pytest.approx(expected, rel=1e-5)
        checked += 1
    assert checked >= 4


@every_target
@every_network
def test_weights_are_on_the_targets_grid(network: str, name: str, built: Built) -> None:
    made, plan = built[network, name]
    wanted, walk = WANTED[name], Walk(made)
    originals = Walk(plan.model).constants
    convolutions = [n for n in walk.of("Conv") if n.name in plan.layers]
    assert len(convolutions) in (4, 5)
    for node in convolutions:
        weight_name, integers, scale, zero = walk.weight(node)
        original = originals[weight_name]
        assert zero.dtype == np.int8 and not zero.any()
        assert scale.shape == ((len(original),) if wanted.per_channel else ())
        axes = (1, 2, 3) if wanted.per_channel else None
        expected = np.abs(original).max(axes) / wanted.largest
        if name == "npu-pow2":
            expected = 2.0 ** np.ceil(np.log2(expected))
        np.testing.assert_allclose(scale, expected, rtol=1e-6)
        shaped = scale.reshape(-1, 1, 1, 1)
        assert np.abs(integers * shaped - original).max() <= scale.max() / 2 * (1 + 1e-5)
        if name != "npu-pow2":
            assert (np.abs(integers).max(axes) == wanted.largest).all()
        is_float = name == "tensorrt"
        assert (walk.kind(walk.producer[node.input[1]].input[0]) == "QuantizeLinear") is is_float


@every_target
@every_network
def test_biases_are_of_the_targets_type(network: str, name: str, built: Built) -> None:
    made, plan = built[network, name]
    walk, originals = Walk(made), Walk(plan.model).constants
    checked = 0
    for node in walk.of("Conv"):
        if node.name not in plan.layers or len(node.input) < 3:
            continue
        checked += 1
        if WANTED[name].bias is np.float32:
            np.testing.assert_array_equal(walk.constants[node.input[2]], originals[node.input[2]])
            continue
        integers, scale, zero = (walk.constants[n] for n in walk.producer[node.input[2]].input)
        source = walk.constants[walk.producer[node.input[0]].input[1]]
        np.testing.assert_allclose(scale.reshape(-1), (source * walk.weight(node)[2]).reshape(-1))
        assert (integers.dtype, zero.any()) == (np.int32, False)
        original = originals[node.input[2].removesuffix("_DequantizeLinear_Output")]
        assert np.abs(integers * scale - original).max() <= scale.max() * 0.51
    assert checked >= 3


@every_network
def test_tensorrt_quantizes_what_int8_kernels_read_and_one_branch_of_add(
    network: str, built: Built
) -> None:
    walk = Walk(built[network, "tensorrt"][0])
    assert (
        walk.quantized()
        == {
            "tiny": {"input", "hardtanh", "hardtanh_1", "add", "mean", "cat"},
            "residual": {"input", "a_relu", "down", "scaled"},
        }[network]
    )
    (add,) = walk.of("Add")
    assert sorted(map(walk.kind, add.input)) == ["Conv", "DequantizeLinear"]
    # the convolution that comes last, for then the residual is there already
    fused = next(walk.producer[n] for n in add.input if walk.kind(n) == "Conv")
    assert fused.name == {"tiny": "node_conv2d_2", "residual": "conv_main"}[network]
    assert len(walk.of("Relu")) + len(walk.of("Clip")) == {"tiny": 3, "residual": 2}[network]


@every_network
def test_openvino_quantizes_what_int8_kernels_read(network: str, built: Built) -> None:
    walk = Walk(built[network, "openvino"][0])
    assert walk.quantized() == {
        "tiny": {
            "input", "hardtanh", "hardtanh_1", "conv2d_2", "add", "mean", "upsample_bilinear2d",
            "cat",
        },
        "residual": {"input", "a_relu", "main", "down", "big", "scaled"},
    }[network]  # fmt: skip


@every_network
@pytest.mark.parametrize("name", ["npu", "npu-pow2"])
def test_npu_leaves_no_float_but_inside_a_convolution_and_behind_the_last(
    network: str, name: str, built: Built
) -> None:
    walk = Walk(built[network, name][0])
    for node in walk.nodes:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            continue
        data = node.input if node.op_type in ("Add", "Concat", "Mul") else node.input[:1]
        for tensor in data:
            fused = node.op_type in ("Relu", "Clip") and walk.kind(tensor) == "Conv"
            assert walk.kind(tensor) == ("Conv" if fused else "DequantizeLinear")
    resize = walk.of("Resize")
    assert len(resize) == 2 and resize[1].output[0] == "logits"
    (after,) = walk.readers[resize[0].output[0]]
    assert after.op_type == "QuantizeLinear"
    before = walk.producer[resize[0].input[0]]
    # one grid in and out: nothing is rescaled
    assert walk.constants[after.input[1]] == walk.constants[before.input[1]]


@pytest.mark.parametrize("name", ["cpu", "cpu-avx2", "arm", "per-tensor"])
def test_cpus_merge_clipping_into_the_range_and_keep_resize_in_float(
    name: str, built: Built
) -> None:
    walk = Walk(built["tiny", name][0])
    assert not walk.of("Relu") and not walk.of("Clip")
    first = walk.of("Resize")[0]
    assert walk.kind(first.input[0]) == "DequantizeLinear"
    (add,) = walk.of("Add")
    assert [walk.kind(n) for n in add.input] == ["DequantizeLinear"] * 2
    assert {r.op_type for r in walk.readers[add.output[0]]} == {"QuantizeLinear"}


@every_target
def test_given_integers_are_found_again(name: str) -> None:
    """Also in a Gemm, whose output channels are the second axis, and not where it stays float."""
    shapes = {"w_conv": (5, 3, 1, 1), "w_gemm": (5, 4), "w_last": (4, 4)}
    nodes = [
        helper.make_node("Conv", ["input", "w_conv"], ["c"], name="conv"),
        helper.make_node("GlobalAveragePool", ["c"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "w_gemm"], ["g"], name="gemm"),
        helper.make_node("Gemm", ["g", "w_last"], ["logits"], name="last"),
    ]
    constants = [weight(key, *shape, seed=len(key)) for key, shape in shapes.items()]
    network = onnx.shape_inference.infer_shapes(
        model(nodes, [value("input", (1, 3, 8, 8))], [value("logits", (1, 4))], constants)
    )
    rng = np.random.default_rng(1)
    wanted, rounded = WANTED[name], {}
    for key, shape in shapes.items():
        channels = shape[1] if key != "w_conv" else shape[0]
        scale = 2.0 ** -rng.integers(4, 9, channels if wanted.per_channel else 1)
        integers = rng.integers(-wanted.largest, wanted.largest + 1, shape).astype(np.int8)
        rounded[key] = RoundedWeight(integers, scale.astype(np.float32))
    walk = Walk(build(_plan(network, name, IMAGE, **rounded), keep_float=()))
    for node in (*walk.of("Conv"), walk.of("Gemm")[0]):
        dequantize = walk.producer[node.input[1]]
        key = dequantize.name.removesuffix("_DequantizeLinear")
        scale = walk.constants[dequantize.input[1]]
        np.testing.assert_array_equal(scale.reshape(-1), rounded[key].scale)
        if name == "tensorrt":
            shape = (-1, 1, 1, 1) if key == "w_conv" else (1, -1)
            found = walk.constants[key] / scale.reshape(shape)
        else:
            found = walk.constants[dequantize.input[0]]
        np.testing.assert_array_equal(found, rounded[key].integers)
    # the last layer is none of the plan's: its weight is as it was
    np.testing.assert_array_equal(walk.constants["w_last"], numpy_helper.to_array(constants[2]))


def test_a_channel_without_weight_takes_the_largest_scale() -> None:
    values = np.zeros((3, 2, 1, 1), np.float32)
    values[0], values[2] = 12.7, -1.27
    np.testing.assert_allclose(weight_scale(values, TARGETS["cpu"]), [0.1, 0.1, 0.01], rtol=1e-6)
    np.testing.assert_array_equal(weight_scale(values * 0, TARGETS["cpu"]), [1, 1, 1])
    np.testing.assert_allclose(weight_scale(values, TARGETS["npu"]), [0.1], rtol=1e-6)
    np.testing.assert_array_equal(weight_scale(values, TARGETS["npu-pow2"]), [0.125])


def test_power_of_two_is_exact_and_never_below() -> None:
    given = np.array([1, 0.5, 0.50001, 0.49999, 3, 2.0**-40, np.nextafter(2.0, 3)])
    expected = [1, 0.5, 1, 0.5, 4, 2.0**-40, 4]
    np.testing.assert_array_equal(power_of_two(given), expected)


def digest() -> str:
    """One checksum of the residual network for every target."""
    network, checksum = residual(), hashlib.sha256()
    for name in WANTED:
        quantized = build(_plan(network, name, IMAGE))
        checksum.update(quantized.SerializeToString(deterministic=True))
    return checksum.hexdigest()


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_the_hash_seed() -> None:
    root = str(__file__).rsplit("/tests/", 1)[0]
    code = (
        f"import sys; sys.path.insert(0, {root!r})\n"
        "from tests.quantize.graph.test_qdq import digest\nprint(digest())"
    )
    answers = [process(sys.executable, "-c", code, PYTHONHASHSEED=seed) for seed in (1, 2)]
    assert [a.stdout.strip() for a in answers] == [digest()] * 2, answers[0].stderr
