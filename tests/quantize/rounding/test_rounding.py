"""Rounding whole networks: what layers give afterwards, measured by running them."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper
from torch.nn import functional as F

from export.artifact.artifact import Artifact
from export.onnx_graph.graph import attribute, attributes
from quantize.calibration.calibration import collect
from quantize.calibration.measurement import Measurement
from quantize.calibration.statistics import Statistic
from quantize.graph.rounded_weight import RoundedWeight
from quantize.rounding import moments as moments_module
from quantize.rounding.moments import InputMoments
from quantize.rounding.rounding import Rounded, input_moments, round_weights
from quantize.rounding.table import ROUNDINGS
from quantize.target import Target
from quantize.targets import TARGETS
from tests.export.build import computed, constant, model, value, weight
from tests.quantize.search.chains import Sample

Floats = NDArray[np.float32]
SIZE = 12


def network() -> ModelProto:
    """Convolutions of every kind in a row, over maps so small that the grid takes all positions."""
    nodes = [
        helper.make_node("Conv", ["input", "w_a", "b_a"], ["a"], name="full", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["a_relu"], name="relu"),
        helper.make_node("Conv", ["a_relu", "w_b"], ["b"], name="depthwise", group=8, pads=[1] * 4),
        helper.make_node("Conv", ["b", "w_c", "b_c"], ["c"], name="pointwise"),
        helper.make_node(
            "Conv", ["c", "w_d"], ["d"], name="grouped", group=2, dilations=[2, 2],
            pads=[2] * 4, strides=[1, 2],
        ),
        helper.make_node("GlobalAveragePool", ["d"], ["e"], name="pool"),
        helper.make_node("Conv", ["e", "w_f", "b_f"], ["logits"], name="pooled"),
    ]  # fmt: skip
    constants = [
        weight("w_a", 8, 3, 3, 3, seed=1), weight("b_a", 8, seed=2),
        weight("w_b", 8, 1, 3, 3, seed=3), weight("w_c", 6, 8, 1, 1, seed=4),
        weight("b_c", 6, seed=5), weight("w_d", 4, 3, 3, 3, seed=6),
        weight("w_f", 5, 4, 1, 1, seed=7), weight("b_f", 5, seed=8),
    ]  # fmt: skip
    made = model(
        nodes,
        [value("input", (1, 3, SIZE, SIZE))],
        [value("logits", (1, 5, 1, 1))],
        constants,
    )
    return onnx.shape_inference.infer_shapes(made)


def images(count: int = 8) -> list[Floats]:
    """Smooth pictures: inputs of a window are strongly correlated."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(0.5, 1, (count, 1, 3, 4, 4)).astype(np.float32)
    return list(coarse.repeat(SIZE // 4, axis=3).repeat(SIZE // 4, axis=4))


@pytest.fixture(autouse=True)
def every_position(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at all output positions, so that the statistics are those of the whole images."""
    monkeypatch.setattr(moments_module, "SIDES", (SIZE, SIZE))


def activations(made: ModelProto, names: list[str], pictures: Iterable[Floats]) -> list[Floats]:
    """Return each tensor for all pictures, stacked."""
    copy = ModelProto()
    copy.CopyFrom(made)
    del copy.graph.output[:]
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name != "input")
    found = [dict(zip(names, computed(copy, input=p), strict=True)) for p in pictures]
    return [np.concatenate([one[name] for one in found]) for name in names]


def convolved(node: NodeProto, x: Floats, weights: NDArray[np.floating]) -> Floats:
    """The convolution of `node` in torch, without its bias."""
    given = attributes(node)
    top, left, bottom, right = given.get("pads", (0, 0, 0, 0))
    result = F.conv2d(
        F.pad(torch.from_numpy(x), (left, right, top, bottom)).double(),
        torch.from_numpy(weights).double(),
        stride=tuple(given.get("strides", (1, 1))),
        dilation=tuple(given.get("dilations", (1, 1))),
        groups=attribute(node, "group", 1),
    )
    return result.numpy()


def rounded(
    made: ModelProto, tiny: Artifact, target: Target, method: str = "gptq"
) -> tuple[Rounded, dict[str, InputMoments]]:
    layers = [node for node in made.graph.node if node.op_type == "Conv"]
    observed = input_moments(made, layers)
    statistics: dict[str, list[Statistic]] = {}
    for node in layers:
        if node.name in observed:
            statistics.setdefault(node.input[0], []).append(observed[node.name])
    samples = [Sample(str(i), image, "") for i, image in enumerate(images())]
    size = tiny.manifest.input.model_copy(update={"shape": (1, 3, SIZE, SIZE)})
    collect(
        [Measurement(made, statistics)], tiny.manifest.model_copy(update={"input": size}), samples
    )
    return round_weights(made, observed, target, method), observed


def _dequantized(one: RoundedWeight) -> NDArray[np.float64]:
    scale = one.scale.astype(np.float64).reshape(-1, *[1] * (one.integers.ndim - 1))
    return np.asarray(one.integers * scale)


def _nearest(one: RoundedWeight, values: Floats, largest: int) -> NDArray[np.float64]:
    scale = one.scale.astype(np.float64).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(np.clip(np.round(values / scale), -largest, largest) * scale)


def _layers(made: ModelProto) -> list[tuple[NodeProto, Floats, Floats]]:
    """Return each convolution with its weights and its inputs on all images."""
    constants = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer}
    nodes = [node for node in made.graph.node if node.op_type == "Conv"]
    names = [node.input[0] for node in nodes if node.input[0] != "input"]
    inputs = dict(zip(names, activations(made, names, images()), strict=True))
    inputs["input"] = np.concatenate(images())
    return [(node, constants[node.input[1]], inputs[node.input[0]]) for node in nodes]


@pytest.mark.parametrize("target", ["cpu", "cpu-avx2", "npu", "npu-pow2", "tensorrt"])
def test_layers_keep_their_outputs_better_than_with_the_nearest_weights(
    tiny: Artifact, target: str
) -> None:
    made = network()
    found, _ = rounded(made, tiny, TARGETS[target])
    largest = TARGETS[target].weight_max
    assert found.gains.keys() == {"full", "depthwise", "pointwise", "grouped", "pooled"}
    for node, values, x in _layers(made):
        one = found.weights[node.input[1]]
        deviations = []
        for quantized in (_nearest(one, values, largest), _dequantized(one)):
            error = convolved(node, x, quantized - values)
            deviations.append(error.var((0, 2, 3)).sum())
        # the stated gain is what torch measures
        assert found.gains[node.name] == pytest.approx(
            10 * np.log10(deviations[0] / deviations[1]), abs=0.05
        )
        assert found.gains[node.name] >= 0
    assert found.gains["full"] > 1.5  # measured: 2.1 to 4.1


def test_the_mean_error_goes_into_the_bias(tiny: Artifact) -> None:
    made = network()
    found, _ = rounded(made, tiny, TARGETS["cpu"])
    for node, values, x in _layers(made):
        error = convolved(node, x, _dequantized(found.weights[node.input[1]]) - values)
        without = error.mean((0, 2, 3))
        left = without + found.shifts[node.name]
        assert found.shifts[node.name].shape == (len(values),)
        assert np.abs(left).max() < 1e-3 * np.abs(without).max()


@pytest.mark.parametrize("method", ROUNDINGS)
@pytest.mark.parametrize("target", ["cpu", "cpu-avx2", "npu"])
def test_integers_and_scales_are_the_targets(
    tiny: Artifact, method: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quantize.rounding.adaround.STEPS", 30)
    made = network()
    found, _ = rounded(made, tiny, TARGETS[target], method)
    largest = TARGETS[target].weight_max
    for node, values, _ in _layers(made):
        one = found.weights[node.input[1]]
        assert one.integers.dtype == np.int8 and one.integers.shape == values.shape
        assert np.abs(one.integers).max() <= largest
        assert one.scale.dtype == np.float32
        if TARGETS[target].per_channel:
            fitting = np.abs(values).reshape(len(values), -1).max(1) / largest
        else:
            fitting = np.abs(values).max(keepdims=True).reshape(1) / largest
        assert one.scale.shape == fitting.shape
        ratio = one.scale / fitting  # what suits the row best, near the step that just fits
        assert (ratio > 0.6).all() and (ratio < 1.3).all()


@pytest.mark.parametrize("method", ROUNDINGS)
def test_no_channel_is_worse_than_with_the_nearest_weights(
    tiny: Artifact, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here a method that is bad on purpose half of the time."""

    def careless(weight: object, scale: object, covariance: object, largest: int) -> object:
        integers: Any = good.integers(weight, scale, covariance, largest)  # type: ignore[arg-type]
        integers[:, ::2] = np.where(integers[:, ::2] > 0, integers[:, ::2] - 3, 3)
        return integers

    good = ROUNDINGS[method]
    monkeypatch.setattr("quantize.rounding.adaround.STEPS", 30)
    bad = replace(good, integers=careless)  # type: ignore[arg-type]
    monkeypatch.setitem(ROUNDINGS, method, bad)
    made = network()
    found, _ = rounded(made, tiny, TARGETS["cpu"], method)
    for node, values, x in _layers(made):
        one = found.weights[node.input[1]]
        after, before = (
            convolved(node, x, quantized - values).var((0, 2, 3))
            for quantized in (_dequantized(one), _nearest(one, values, 127))
        )
        assert (after <= before * 1.001 + 1e-12).all()
        assert found.gains[node.name] >= 0


def test_layers_too_large_for_one_covariance_gain_too(
    tiny: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = network()
    whole, _ = rounded(made, tiny, TARGETS["cpu"])
    monkeypatch.setattr(moments_module, "LARGEST", 9)  # a block per channel
    split, moments = rounded(made, tiny, TARGETS["cpu"])
    assert (moments["full"].blocks, moments["grouped"].blocks) == (3, 3)
    for node, values, x in _layers(made):
        one = split.weights[node.input[1]]
        if moments[node.name].blocks == 1:
            np.testing.assert_array_equal(one.integers, whole.weights[node.input[1]].integers)
        elif node.name in ("full", "grouped"):
            after, before = (
                convolved(node, x, quantized - values).var((0, 2, 3)).sum()
                for quantized in (_dequantized(one), _nearest(one, values, 127))
            )
            assert after < 0.8 * before


def test_what_cannot_be_rounded_by_its_inputs_is_left_out() -> None:
    nodes = [
        helper.make_node("Conv", ["input", "shared"], ["a"], name="one"),
        helper.make_node("Conv", ["a", "shared"], ["b"], name="two"),
        helper.make_node("Relu", ["w"], ["computed"], name="relu"),
        helper.make_node("Conv", ["b", "computed"], ["c"], name="three"),
        helper.make_node("Conv", ["c", "w_same"], ["d"], name="same", auto_pad="SAME_UPPER"),
        helper.make_node("Conv", ["d", "w_valid"], ["e"], name="valid", auto_pad="VALID"),
        helper.make_node("Conv", ["e", "w_wide"], ["h"], name="wide", pads=[6, 6, 5, 5]),
        helper.make_node("Reshape", ["h", "flat"], ["f"], name="reshape"),
        helper.make_node("Conv", ["f", "w_line"], ["g"], name="line"),
        helper.make_node("MatMul", ["g", "w_matmul"], ["logits"], name="matmul"),
    ]
    constants = [
        weight("shared", 3, 3, 1, 1), weight("w", 3, 3, 1, 1), weight("w_same", 3, 3, 3, 3),
        weight("w_valid", 3, 3, 3, 3), weight("w_wide", 3, 3, 12, 12),
        constant("flat", np.array([1, 3, 36])), weight("w_line", 2, 3, 1),
        weight("w_matmul", 36, 4),
    ]  # fmt: skip
    made = model(nodes, [value("input", (1, 3, 8, 8))], [value("logits", (1, 2, 4))], constants)
    computed(made, input=np.zeros((1, 3, 8, 8), np.float32))  # a network that runs
    assert input_moments(made, made.graph.node).keys() == {"valid"}


def test_weights_without_any_error_gain_nothing(tiny: Artifact) -> None:
    made = network()
    for tensor in made.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.name == "w_c":
            tensor.CopyFrom(constant("w_c", np.sign(values)))
        if tensor.name == "w_d":
            tensor.CopyFrom(constant("w_d", np.zeros_like(values)))
    found, _ = rounded(made, tiny, TARGETS["cpu"])
    assert found.gains["pointwise"] == found.gains["grouped"] == 0.0
    # what reads zeros never varies
    assert found.gains["pooled"] == 0.0
    np.testing.assert_array_equal(np.abs(found.weights["w_c"].integers), 127)
    assert not found.weights["w_d"].integers.any()
    assert not found.shifts["grouped"].any()
