"""A product with a number in int8: the same integers, another scale."""

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto, helper

from quantize.graph.insertion.scaling import read_scaled
from tests.export.build import constant, model, value


def _product(factor: float, *, quantized: bool = False, size: int = 1) -> ModelProto:
    """x in int8, times a constant, in int8, minus one."""
    numbers = [constant("factor", np.full(size, factor, np.float32))]
    nodes = []
    if quantized:  # as onnxruntime's quantizer leaves it
        numbers = [
            constant("integer", np.full(size, 255, np.uint8)),
            constant("step", np.float32(factor / 255)),
            constant("nothing", np.uint8(0)),
        ]
        nodes = [helper.make_node("DequantizeLinear", ["integer", "step", "nothing"], ["factor"])]
    return model(
        [
            *nodes,
            helper.make_node("QuantizeLinear", ["input", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
            helper.make_node("Mul", ["d", "factor"], ["product"], name="scaled"),
            helper.make_node("QuantizeLinear", ["product", "t", "z"], ["p"]),
            helper.make_node("DequantizeLinear", ["p", "t", "z"], ["r"]),
            helper.make_node("Sub", ["r", "one"], ["output"]),
        ],
        [value("input", (1, size, 4, 4))],
        [value("output", (1, size, 4, 4))],
        [
            *numbers,
            constant("s", np.float32(0.05)),
            constant("t", np.float32(0.01)),
            constant("z", np.uint8(128)),
            constant("one", np.float32(1)),
        ],
    )


def _operators(made: ModelProto) -> list[str]:
    return [node.op_type for node in made.graph.node if node.input[0] != "integer"]


@pytest.mark.parametrize("quantized", [False, True])
def test_the_product_needs_no_layer_and_is_rounded_once(quantized: bool) -> None:
    made = _product(1 / 6, quantized=quantized)
    read_scaled(made)
    assert _operators(made) == ["QuantizeLinear", "DequantizeLinear", "DequantizeLinear", "Sub"]
    image = np.random.default_rng(0).uniform(-6, 6, (1, 1, 4, 4)).astype(np.float32)
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"input": image})
    rounded = np.round(image / np.float32(0.05)) * 0.05  # nothing is cut at 6 = 120 steps
    assert np.allclose(found, rounded / 6 - 1, atol=1e-6)


@pytest.mark.parametrize(("factor", "size"), [(-0.5, 1), (0.0, 1), (0.5, 3)])
def test_other_products_stay(factor: float, size: int) -> None:
    made = _product(factor, size=size)
    if size > 1:
        made.graph.initializer[0].dims[:] = [size, 1, 1]
    before = _operators(made)
    read_scaled(made)
    assert _operators(made) == before


def test_a_product_whose_range_does_the_work_of_a_clip_stays() -> None:
    made = _product(1 / 6)
    before = _operators(made)
    read_scaled(made, {"scaled"})
    assert _operators(made) == before


def test_a_product_of_a_product_has_both_in_its_scale() -> None:
    made = _product(0.5)
    graph = made.graph
    reader = next(node for node in graph.node if node.op_type == "Sub")
    reader.input[0] = "r2"
    graph.node.insert(
        len(graph.node) - 1, helper.make_node("Mul", ["r", "factor"], ["pp"], name="b")
    )
    for node in (
        helper.make_node("QuantizeLinear", ["pp", "t", "z"], ["q2"]),
        helper.make_node("DequantizeLinear", ["q2", "t", "z"], ["r2"]),
    ):
        graph.node.insert(len(graph.node) - 1, node)
    read_scaled(made)
    assert _operators(made) == [
        "QuantizeLinear",
        "DequantizeLinear",
        "DequantizeLinear",
        "DequantizeLinear",
        "Sub",
    ]
    image = np.full((1, 1, 4, 4), 4.0, np.float32)
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"input": image})
    assert np.allclose(found, 4 * 0.5 * 0.5 - 1)


def test_a_product_that_is_only_moved_keeps_its_scale() -> None:
    """A Transpose runs on integers where both sides have one scale."""
    made = _product(0.5)
    reader = next(node for node in made.graph.node if node.op_type == "Sub")
    reader.input[0] = "m"
    made.graph.node.insert(
        len(made.graph.node) - 1, helper.make_node("Transpose", ["r"], ["m"], perm=[0, 1, 2, 3])
    )
    before = _operators(made)
    read_scaled(made)
    assert _operators(made) == before
