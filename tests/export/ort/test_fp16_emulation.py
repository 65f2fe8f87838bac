from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from export.common.errors import ArtifactError
from export.ort.fp16_emulation import emulate_fp16
from tests.export.build import computed, constant, image, model, value, weight

HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT
SHAPE = (1, 3, 4, 4)


def _half(array: NDArray[Any]) -> NDArray[np.float32]:
    """Round to float16; beyond 65504 becomes inf."""
    with np.errstate(over="ignore"):
        return array.astype(np.float16).astype(np.float32)


def _graph(
    nodes: list[NodeProto],
    outputs: list[ValueInfoProto],
    constants: list[TensorProto],
    source: int = FLOAT,
) -> ModelProto:
    graph = model(nodes, [value("x", SHAPE, source)], outputs, constants)
    onnx.checker.check_model(graph, full_check=True)
    return graph


def _cast(source: str, out: str, kind: int) -> NodeProto:
    return helper.make_node("Cast", [source], [out], to=kind, name=f"cast_{out}")


def _multiply(source: str, factor: str, out: str) -> NodeProto:
    return helper.make_node("Mul", [source, factor], [out], name=f"mul_{out}")


def _half_constant(name: str, number: float) -> TensorProto:
    return constant(name, np.float16(number))


def test_every_float16_tensor_is_rounded_once() -> None:
    # each product is exact in float32 up to its own rounding, so numpy can repeat it to the bit
    graph = _graph(
        [
            _cast("x", "h", HALF),
            _multiply("h", "third", "a"),
            _multiply("a", "seven", "b"),
            _cast("b", "y", FLOAT),
        ],
        [value("y", SHAPE)],
        [_half_constant("third", 1 / 3), _half_constant("seven", 7.3)],
    )
    source = image(*SHAPE)

    (found,) = computed(emulate_fp16(graph), x=source)

    third, seven = np.float32(np.float16(1 / 3)), np.float32(np.float16(7.3))
    a = _half(_half(source) * third)
    np.testing.assert_array_equal(found, _half(a * seven))
    # the roundings in between show in the result
    assert (found != _half(_half(source) * third * seven)).any()
    assert (found != source * third * seven).all()


def test_sums_are_made_in_float32_and_rounded_once() -> None:
    kernel = np.random.default_rng(1).normal(size=(2, 3, 1, 1)).astype(np.float16)
    graph = _graph(
        [
            _cast("x", "h", HALF),
            helper.make_node("Conv", ["h", "w"], ["c"], name="conv"),
            _cast("c", "y", FLOAT),
        ],
        [value("y", (1, 2, 4, 4))],
        [constant("w", kernel)],
    )
    source = image(*SHAPE)

    (found,) = computed(emulate_fp16(graph), x=source)

    exact = np.einsum(
        "oi,nihw->nohw", kernel[:, :, 0, 0].astype(np.float64), _half(source).astype(np.float64)
    )
    assert np.array_equal(found, _half(found))  # every value is a float16 one
    # half a unit in the last place of float16 is 2**-11 of the value
    np.testing.assert_allclose(found, exact, rtol=2**-11 * 1.01)


def test_overflow_inside_is_not_undone_by_what_follows() -> None:
    # the intermediate is 90000; a float32 runtime would give 1.5 as if nothing had happened
    graph = _graph(
        [
            _cast("x", "h", HALF),
            _multiply("h", "big", "a"),
            _multiply("a", "small", "b"),
            _cast("b", "y", FLOAT),
        ],
        [value("y", SHAPE)],
        [_half_constant("big", 60000), _half_constant("small", 1 / 60000)],
    )

    (found,) = computed(emulate_fp16(graph), x=np.full(SHAPE, 1.5, np.float32))

    assert np.isinf(found).all()


def test_float32_parts_are_not_rounded() -> None:
    third = np.float32(1 / 3)
    graph = _graph(
        [
            _multiply("x", "third", "kept"),
            _cast("kept", "h", HALF),
            _multiply("h", "two", "b"),
            _cast("b", "y", FLOAT),
        ],
        [value("kept", SHAPE), value("y", SHAPE)],
        [constant("third", third), _half_constant("two", 2)],
    )
    source = image(*SHAPE)

    kept, found = computed(emulate_fp16(graph), x=source)

    np.testing.assert_array_equal(kept, source * third)
    assert (kept != _half(kept)).any()
    np.testing.assert_array_equal(found, _half(kept) * 2)


def test_float16_inputs_and_outputs_stay_float16() -> None:
    graph = _graph(
        [_multiply("x", "third", "y")],
        [value("y", SHAPE, HALF)],
        [_half_constant("third", 1 / 3)],
        source=HALF,
    )
    source = image(*SHAPE).astype(np.float16)

    emulated = emulate_fp16(graph)
    (found,) = computed(emulated, x=source)

    assert emulated.graph.input[0].type.tensor_type.elem_type == HALF
    assert found.dtype == np.float16
    product = source.astype(np.float32) * np.float32(np.float16(1 / 3))
    np.testing.assert_array_equal(found, product.astype(np.float16))


def test_constants_in_nodes_and_an_output_that_is_read_again() -> None:
    graph = _graph(
        [
            helper.make_node("Constant", [], ["third"], value=_half_constant("v", 1 / 3), name="k"),
            _cast("x", "h", HALF),
            _multiply("h", "third", "a"),
            helper.make_node("Add", ["a", "h"], ["b"], name="add"),
        ],
        [value("a", SHAPE, HALF), value("b", SHAPE, HALF)],
        [],
    )
    source = image(*SHAPE)

    a, b = computed(emulate_fp16(graph), x=source)

    wanted = _half(_half(source) * np.float32(np.float16(1 / 3)))
    np.testing.assert_array_equal(a.astype(np.float32), wanted)
    np.testing.assert_array_equal(b.astype(np.float32), _half(wanted + _half(source)))


def test_resize_keeps_its_float32_scales() -> None:
    # scales are float32 in a float16 graph too, and an empty name stands for the absent roi
    resize = helper.make_node("Resize", ["h", "", "scales"], ["r"], name="resize", mode="nearest")
    graph = _graph(
        [_cast("x", "h", HALF), resize, _cast("r", "y", FLOAT)],
        [value("y", (1, 3, 8, 8))],
        [constant("scales", np.array([1, 1, 2, 2], np.float32))],
    )
    source = image(*SHAPE)

    (found,) = computed(emulate_fp16(graph), x=source)

    assert found.shape == (1, 3, 8, 8)
    np.testing.assert_array_equal(np.unique(found), np.unique(_half(source)))


def test_a_float32_graph_is_computed_as_it_is() -> None:
    graph = _graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], name="conv")],
        [value("y", (1, 2, 4, 4))],
        [weight("w", 2, 3, 1, 1)],
    )
    source = image(*SHAPE)

    np.testing.assert_array_equal(
        computed(emulate_fp16(graph), x=source)[0], computed(graph, x=source)[0]
    )


def test_the_given_graph_is_left_alone() -> None:
    graph = _graph(
        [_cast("x", "h", HALF), _multiply("h", "two", "a"), _cast("a", "y", FLOAT)],
        [value("y", SHAPE)],
        [_half_constant("two", 2)],
    )
    before = graph.SerializeToString(deterministic=True)

    emulate_fp16(graph)

    assert graph.SerializeToString(deterministic=True) == before


def test_a_tensor_of_unknown_type_is_named() -> None:
    nodes = [
        helper.make_node("Unheard", ["x"], ["mystery"], name="odd", domain="somebody"),
        _cast("mystery", "y", FLOAT),
    ]
    graph = model(nodes, [value("x", SHAPE)], [value("y", SHAPE)])
    graph.opset_import.append(helper.make_opsetid("somebody", 1))

    with pytest.raises(ArtifactError, match="layer odd: the type of its output mystery is unknown"):
        emulate_fp16(graph)
