import json
from pathlib import Path

import onnx
import pytest
from onnx import ModelProto, helper

from export.onnx_export import export_model
from export.onnx_graph.graph import with_input_shape
from export.onnx_graph.onnx_cost import graph_cost
from tests.export.build import constant, model, value, weight


def _counted(graph: ModelProto) -> dict[str, int]:
    cost = graph_cost(onnx.shape_inference.infer_shapes(graph))
    assert cost.uncounted == {}
    return {node.name: node.macs for node in cost.nodes}


@pytest.mark.parametrize(
    ("attributes", "left", "right"),
    [
        ({}, (4, 7), (7, 5)),
        ({"transA": 1}, (7, 4), (7, 5)),
        ({"transB": 1}, (4, 7), (5, 7)),
        ({"transA": 1, "transB": 1}, (7, 4), (5, 7)),
    ],
)
def test_gemm(attributes: dict[str, int], left: tuple[int, int], right: tuple[int, int]) -> None:
    node = helper.make_node("Gemm", ["x", "w"], ["y"], name="g", **attributes)

    # (4 x 7) times (7 x 5) however they are stored
    graph = model([node], [value("x", left)], [value("y", (4, 5))], [weight("w", *right)])
    assert _counted(graph) == {"g": 4 * 7 * 5}


def test_operators_without_a_rule_and_unknown_shapes_are_reported() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="counted"),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Transpose", ["c"], ["d"]),
        helper.make_node("Unheard", ["d"], ["e"], domain="somebody"),
        helper.make_node("Conv", ["e", "w"], ["y"], name="shapeless"),
    ]
    graph = model(
        nodes, [value("x", (1, 3, 4, 4))], [value("y", (1, 3, "h", "w"))], [weight("w", 3, 3, 1, 1)]
    )
    graph.opset_import.append(helper.make_opsetid("somebody", 1))

    cost = graph_cost(onnx.shape_inference.infer_shapes(graph))

    assert [(node.name, node.macs) for node in cost.nodes] == [("counted", 16 * 9)]
    assert cost.macs == 144
    assert cost.uncounted == {"Conv": 1, "Relu": 2, "Unheard": 1}


def test_int8_nodes_cost_what_their_float_originals_do() -> None:
    zero, scale = constant("zero", [0]), constant("scale", [0.1])
    quantization = ["scale", "zero"]
    node = helper.make_node(
        "QLinearConv", ["x", *quantization, "w", *quantization, *quantization], ["y"], name="q"
    )
    graph = model(
        [node],
        [value("x", (1, 3, 10, 14), onnx.TensorProto.UINT8)],
        [value("y", (1, 8, 10, 14), onnx.TensorProto.UINT8)],
        [constant("w", [[[[1]], [[1]], [[1]]]] * 8), zero, scale],
    )

    cost = graph_cost(graph)

    assert [(n.op_type, n.macs) for n in cost.nodes] == [("QLinearConv", 140 * 8 * 3)]


def test_free_dimensions_are_filled_in() -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="c")
    graph = model(
        [node],
        [value("x", ("n", 3, "h", "w"))],
        [value("y", ("n", 8, "h", "w"))],
        [weight("w", 8, 3, 1, 1)],
    )

    assert graph_cost(onnx.shape_inference.infer_shapes(graph)).uncounted == {"Conv": 1}
    assert graph_cost(with_input_shape(graph, (1, 3, 10, 14))).macs == 140 * 24


@pytest.mark.slow
@pytest.mark.shared
def test_macs_of_the_exported_graph_are_the_published_ones(shared: Path, tmp_path: Path) -> None:
    """Those of others are torch's, by tests/test_all_networks.py, and torch's the published."""
    name = "deeplabv3_mobilenet"
    published = json.loads((shared / "published.json").read_text())["vainf_deeplab_voc"]

    manifest = export_model(name, "random", tmp_path).manifest

    assert manifest.macs_shape == (3, 513, 513)
    assert f"{manifest.macs / 1e9:.3f}" == f"{published['conv_macs_g'][name]:.3f}"
