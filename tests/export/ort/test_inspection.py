from pathlib import Path

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper

from export.artifact.artifact import Artifact
from export.common.errors import ArtifactError
from export.ort.inspection import inspect
from tests.export.build import constant, model, saved, value, weight


def _quantized(name: str, source: str, kernel: str) -> list[NodeProto]:
    """A convolution between quantized tensors, as QDQ writes it."""
    return [
        helper.make_node("DequantizeLinear", [source, "s", "z"], [f"{name}_in"]),
        helper.make_node("DequantizeLinear", [kernel, "s", "zw"], [f"{name}_w"]),
        helper.make_node("Conv", [f"{name}_in", f"{name}_w"], [f"{name}_out"], name=name),
        helper.make_node("QuantizeLinear", [f"{name}_out", "s", "z"], [f"{name}_q"]),
    ]


@pytest.fixture(scope="module")
def half_quantized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8x8 pixels: an int8 convolution 3 -> 16, then a float one 16 -> 4. Free batch."""
    bytes_ = np.random.default_rng(0).integers(-127, 128, (16, 3, 1, 1)).astype(np.int8)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        *_quantized("conv_1", "xq", "w1"),
        helper.make_node("DequantizeLinear", ["conv_1_q", "s", "z"], ["mid"]),
        helper.make_node("Conv", ["mid", "w2"], ["y"], name="conv_10"),
    ]
    constants = [
        constant("s", np.float32(0.05)),
        constant("z", np.uint8(128)),
        constant("zw", np.int8(0)),
        constant("w1", bytes_),
        weight("w2", 4, 16, 1, 1),
    ]
    ends = [value("x", ("n", 3, 8, 8))], [value("y", ("n", 4, 8, 8), TensorProto.FLOAT)]
    return saved(model(nodes, *ends, constants), tmp_path_factory.mktemp("qdq"))


def test_share_of_macs_in_int8(half_quantized: Path) -> None:
    found = inspect(half_quantized, (1, 3, 8, 8))

    assert found.operators["QLinearConv"] == 1
    # 64 pixels: 3 x 16 in int8, 16 x 4 in float
    assert found.int8_macs == 64 * 48
    assert found.macs == 64 * (48 + 64)
    assert found.int8_macs_share == pytest.approx(48 / 112)


def test_layers_map_to_what_became_of_them(half_quantized: Path) -> None:
    layers = inspect(half_quantized, (1, 3, 8, 8)).layers

    assert layers["conv_1"] == ["QLinearConv"]
    # conv_1 is the beginning of conv_10's name, and yet another layer
    assert "QLinearConv" not in layers.get("conv_10", [])


def test_macs_follow_the_shape(half_quantized: Path) -> None:
    assert inspect(half_quantized, (2, 3, 8, 8)).macs == 2 * 64 * 112


def test_a_float_file_has_no_int8(tiny: Artifact) -> None:
    found = inspect(tiny.path, (1, 3, 65, 65))

    assert found.int8_macs_share == 0
    assert found.macs == tiny.manifest.macs
    assert found.layers["node_cat"] == ["Concat"]


def test_a_file_that_onnxruntime_cannot_load(tmp_path: Path) -> None:
    node = helper.make_node("Unheard", ["x"], ["y"], domain="somebody")
    graph = model([node], [value("x", (1, 3, 8, 8))], [value("y", (1, 3, 8, 8))])
    graph.opset_import.append(helper.make_opsetid("somebody", 1))

    with pytest.raises(ArtifactError, match=r"net\.onnx: onnxruntime cannot load it"):
        inspect(saved(graph, tmp_path), (1, 3, 8, 8))
