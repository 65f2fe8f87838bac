"""Kernels found by onnxruntime itself, MACs counted by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper

from export.ort.sessions import CPU, open_session, run, session_options
from tests.export.build import constant, image, model, saved, value, weight
from validate.profiling.kernels import Kernel, read_recording
from validate.profiling.layers import Layers

SHAPE = (1, 3, 16, 16)


def _recorded(file: Path, folder: Path) -> tuple[Layers, tuple[Kernel, ...]]:
    options = session_options()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    session = open_session(file, CPU, options)
    run(session, image(*SHAPE))
    recording = read_recording(Path(session.end_profiling()), 0)
    optimized = onnx.load(folder / "optimized.onnx")
    return Layers(onnx.load(file), optimized, SHAPE), recording.kernels


def _found(file: Path, folder: Path) -> dict[str | None, tuple[str, int]]:
    layers, kernels = _recorded(file, folder)
    return {
        layers.layer(kernel): (kernel.operator, layers.macs_of(kernel))
        for kernel in kernels
        if layers.macs_of(kernel)
    }


@pytest.fixture
def floats() -> ModelProto:
    """Convolutions with what onnxruntime fuses into them: Relu, Clip, a residual Add."""
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Conv", ["b", "w2"], ["c"], name="deep", group=32, pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["c", "zero", "six"], ["d"], name="clip"),
        helper.make_node("Conv", ["d", "w3"], ["e"], name="second"),
        helper.make_node("Add", ["e", "b"], ["f"], name="add"),
        helper.make_node("Conv", ["f", "w4"], ["y"], name="last"),
    ]
    constants = [
        weight("w1", 32, 3, 3, 3), weight("w2", 32, 1, 3, 3), weight("w3", 32, 32, 1, 1),
        weight("w4", 21, 32, 1, 1), constant("zero", np.float32(0)),
        constant("six", np.float32(6)),
    ]  # fmt: skip
    ends = [value("x", SHAPE)], [value("y", (1, 21, 16, 16))]
    return model(nodes, *ends, constants)


def test_fused_float_layers_keep_their_names_and_the_files_macs(
    floats: ModelProto, tmp_path: Path
) -> None:
    pixels = 16 * 16
    # 21 channels, although the blocked layout computes 24 or 32
    assert {
        layer: macs for layer, (_, macs) in _found(saved(floats, tmp_path), tmp_path).items()
    } == {
        "first": pixels * 32 * 3 * 9,
        "deep": pixels * 32 * 9,
        "second": pixels * 32 * 32,
        "last": pixels * 21 * 32,
    }


def test_int8_layers_in_nhwc_keep_theirs(tmp_path: Path) -> None:
    bytes_ = np.random.default_rng(0).integers(-127, 128, (16, 3, 1, 1)).astype(np.int8)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"], name="quantize"),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"], name="dx"),
        helper.make_node("DequantizeLinear", ["w1", "s", "zw"], ["wd"], name="dw"),
        helper.make_node("Conv", ["xd", "wd"], ["a"], name="conv"),
        helper.make_node("QuantizeLinear", ["a", "s", "z"], ["aq"], name="qa"),
        helper.make_node("DequantizeLinear", ["aq", "s", "z"], ["mid"], name="da"),
        helper.make_node("Conv", ["mid", "w2"], ["y"], name="float"),
    ]
    constants = [
        constant("s", np.float32(0.05)), constant("z", np.uint8(128)), constant("zw", np.int8(0)),
        constant("w1", bytes_), weight("w2", 4, 16, 1, 1),
    ]  # fmt: skip
    graph = model(nodes, [value("x", SHAPE)], [value("y", (1, 4, 16, 16))], constants)
    assert _found(saved(graph, tmp_path), tmp_path) == {
        "conv": ("QLinearConv", 256 * 3 * 16),
        "float": ("Conv", 256 * 16 * 4),
    }


def test_a_kernel_that_no_layer_tells_is_counted_from_its_own_shapes() -> None:
    node = helper.make_node("Conv", ["a", "w"], ["b"], name="made_up")
    ends = [value("a", (1, 8, 4, 4))], [value("b", (1, 16, 4, 4))]
    optimized = model([node], *ends, [weight("w", 16, 8, 3, 3)])
    file = model(
        [helper.make_node("Relu", ["x"], ["y"], name="relu")],
        [value("x", SHAPE)],
        [value("y", SHAPE)],
    )
    layers = Layers(file, optimized, SHAPE)
    kernel = Kernel("made_up", "Conv", "float", (1, 16, 4, 4), 1.0, 0)
    assert layers.layer(kernel) is None
    assert layers.macs_of(kernel) == 4 * 4 * 16 * 8 * 9
    unheard = Kernel("nowhere", "Conv", "float", (1, 16, 4, 4), 1.0, 0)
    assert layers.macs_of(unheard) == 0


def test_a_batch_normalization_has_no_macs_even_as_a_convolution(tmp_path: Path) -> None:
    """ESPNet normalises sums and concatenations; onnxruntime makes depthwise convolutions."""
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], name="left"),
        helper.make_node("Conv", ["x", "w2"], ["b"], name="right"),
        helper.make_node("Add", ["a", "b"], ["sum"], name="add"),
        helper.make_node(
            "BatchNormalization", ["sum", "scale", "bias", "bias", "scale"], ["n"], name="norm"
        ),
        helper.make_node("Conv", ["n", "w3"], ["y"], name="last"),
    ]
    ones = np.linspace(0.5, 1, 16, dtype=np.float32)
    constants = [
        weight("w1", 16, 3, 1, 1), weight("w2", 16, 3, 1, 1), weight("w3", 16, 16, 1, 1),
        constant("scale", ones), constant("bias", ones - 0.7),
    ]  # fmt: skip
    graph = model(nodes, [value("x", SHAPE)], [value("y", (1, 16, 16, 16))], constants)
    layers, kernels = _recorded(saved(graph, tmp_path), tmp_path)
    total = sum(layers.macs_of(kernel) for kernel in kernels)
    assert total == layers.macs == 256 * (16 * 3 + 16 * 3 + 16 * 16)


def test_kernels_without_macs_have_none(floats: ModelProto, tmp_path: Path) -> None:
    layers, _ = _recorded(saved(floats, tmp_path), tmp_path)
    resize = Kernel("relu", "Resize", "float", (1, 21, 16, 16), 1.0, 0)
    assert layers.macs_of(resize) == 0 and layers.layer(resize) == "relu"


def test_products_with_padding_are_left_out_of_what_float_computes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node(
            "Conv", ["x", "w1"], ["a"], name="dilated", kernel_shape=[3, 3],
            pads=[12, 12, 12, 12], dilations=[12, 12],
        ),
        helper.make_node(
            "Conv", ["a", "w2"], ["y"], name="strided", kernel_shape=[3, 3],
            pads=[1, 0, 1, 0], strides=[2, 1],
        ),
    ]  # fmt: skip
    ends = [value("x", SHAPE)], [value("y", (1, 8, 8, 14))]
    file = saved(
        model(nodes, *ends, [weight("w1", 16, 3, 3, 3), weight("w2", 8, 16, 3, 3)]), tmp_path
    )
    layers, kernels = _recorded(file, tmp_path)
    computed = {
        layers.layer(kernel): (layers.macs_of(kernel), layers.computed_macs_of(kernel))
        for kernel in kernels
        if layers.macs_of(kernel)
    }
    # the outer taps reach 16 - 12 = 4 of 16 rows, the middle one all: 24 of 48; so do columns
    whole = 16 * 16 * 16 * 3 * 9
    assert computed["dilated"] == (whole, whole * 24 * 24 // (48 * 48))
    # 8 rows of 3 taps, one of which is above the image
    assert computed["strided"] == (8 * 16 * 9 * 8 * 14, 8 * 16 * 3 * 14 * 23)
    int8 = [replace(kernel, kind="int8") for kernel in kernels]
    assert [layers.computed_macs_of(k) for k in int8] == [layers.macs_of(k) for k in int8]
