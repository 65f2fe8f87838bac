"""Which layers int8 pays for; what is measured is tested in test_int8."""

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, helper

from export.common.errors import UsageError
from quantize.graph.selection import matching_layers, output_layers, range_sources, worthwhile
from quantize.targets import TARGETS
from tests.export.build import constant, model, value, weight


def _node(operator: str, inputs: list[str], name: str, **attributes: object) -> NodeProto:
    return helper.make_node(operator, inputs, [name], name=name, **attributes)


def _conv(source: str, name: str, group: int = 1) -> NodeProto:
    return _node("Conv", [source, "depthwise" if group > 1 else "w"], name, group=group)


def _model(nodes: list[NodeProto]) -> ModelProto:
    normal = [constant(name, np.ones(8, np.float32)) for name in ("s", "t", "m", "v")]
    made = model(
        nodes,
        [value("input", (1, 4, 6, 6))],
        [value(nodes[-1].name, (None,) * 4)],
        [weight("w", 4, 4, 1, 1), weight("depthwise", 4, 1, 1, 1), *normal,
         constant("slope", np.full((4, 1, 1), 0.2, np.float32)),
         *(constant(name, np.float32(1)) for name in ("zero", "six", "half", "one", "root"))],
    )  # fmt: skip
    return onnx.shape_inference.infer_shapes(made)


def _kept(nodes: list[NodeProto], target: str = "cpu", floating: tuple[str, ...] = ()) -> set[str]:
    made = _model(nodes)
    operators = TARGETS[target].operators
    candidates = [
        n for n in made.graph.node if n.op_type in operators and n.name not in {*floating, "last"}
    ]
    chosen = worthwhile(made, candidates, TARGETS[target])
    assert [n.name for n in chosen] == [n.name for n in candidates if n in chosen]  # in order
    return {n.name for n in chosen}


RESIDUAL = [_conv("input", "a"), _conv("a", "b"), _node("Add", ["a", "b"], "sum")]
PRELU = _node("PRelu", ["sum", "slope"], "last")
PYRAMID = [
    *RESIDUAL,
    _node("Concat", ["a", "sum"], "joined", axis=1),
    _node("BatchNormalization", ["joined", "s", "t", "m", "v"], "last"),
]


def test_an_add_that_only_a_float_layer_reads_is_dropped() -> None:
    assert _kept([*RESIDUAL, PRELU]) == {"a", "b"}


def test_an_add_that_an_int8_convolution_reads_stays() -> None:
    nodes = [*RESIDUAL, _conv("sum", "c"), _node("Identity", ["c"], "last")]
    assert _kept(nodes) == {"a", "b", "sum", "c"}
    # and goes once that convolution is in float
    assert _kept(nodes, floating=("c",)) == {"a", "b"}


def test_one_reader_in_int8_is_enough() -> None:
    prelu = _node("PRelu", ["sum", "slope"], "p")
    joined = [_conv("sum", "c"), prelu, _node("Sub", ["c", "p"], "last")]
    assert _kept([*RESIDUAL, *joined]) == {"a", "b", "sum", "c"}


def test_a_chain_before_a_float_layer_is_dropped_whole() -> None:
    assert _kept(PYRAMID) == {"a", "b"}


def test_accelerators_without_a_float_unit_keep_everything() -> None:
    assert _kept(PYRAMID, "npu") == {"a", "b", "sum", "joined"}


@pytest.mark.parametrize("operator", ["Relu", "Clip"])
def test_a_clip_behind_a_convolution_belongs_to_it(operator: str) -> None:
    bounds = ["zero", "six"] if operator == "Clip" else []
    behind = [_conv("input", "a"), _node(operator, ["a", *bounds], "r")]
    # without it the convolution's range would reach below zero for nothing
    assert _kept([*behind, _node("Sub", ["r", "r"], "last")]) == {"a", "r"}
    # behind an Add before a float layer it is no use
    after = [*RESIDUAL, _node(operator, ["sum", *bounds], "r"), _node("Sub", ["r", "r"], "last")]
    assert _kept(after) == {"a", "b"}


def test_a_depthwise_convolution_before_a_float_layer_is_dropped() -> None:
    sub = [_node("Sub", ["dw", "dw"], "last")]
    assert _kept([_conv("input", "a"), _conv("a", "dw", 4), *sub]) == {"a"}
    between = [_conv("input", "dw", 4), _node("Relu", ["dw"], "r"), _conv("r", "b")]
    assert _kept([*between, _node("Sub", ["b", "b"], "last")]) == {"dw", "r", "b"}


@pytest.mark.parametrize("target", ["cpu", "openvino", "tensorrt"])
def test_a_clip_that_is_no_layer_of_its_own_is_looked_through(target: str) -> None:
    """OpenVINO and TensorRT run Relu and Clip in the kernel before them."""
    behind = [_node("Clip", ["dw", "zero", "six"], "r"), _conv("r", "b")]
    mobile = [_conv("input", "a"), _conv("a", "dw", 4), *behind, _node("Sub", ["b", "b"], "last")]
    assert _kept(mobile) - {"r"} == _kept(mobile, target) - {"r"} == {"a", "dw", "b"}
    after = [_node("Relu", ["sum"], "r"), _conv("r", "c"), _node("Sub", ["c", "c"], "last")]
    assert _kept([*RESIDUAL, *after], target) - {"r"} == {"a", "b", "sum", "c"}


def test_layers_that_give_the_outputs_are_found() -> None:
    made = _model([*RESIDUAL, PRELU])
    made.graph.output.append(value("b", (1, 4, 6, 6)))
    assert output_layers(made) == {"last", "b"}


def _sources(nodes: list[NodeProto], joined: bool = True) -> dict[str, str]:
    made = _model(nodes)
    return range_sources(made, [n for n in made.graph.node if n.name != "last"], joined=joined)


JOINED = [
    _conv("input", "a"),
    _node("Relu", ["a"], "clipped"),
    _conv("input", "b"),
    _node("Concat", ["clipped", "b"], "both", axis=1),
    _node("Identity", ["both"], "last"),
]


def test_what_a_concat_joins_has_its_range() -> None:
    assert _sources(JOINED) == {
        "input": "input", "a": "both", "clipped": "both", "b": "both", "both": "both"
    }  # fmt: skip
    assert _sources(JOINED, joined=False) == {
        "input": "input", "a": "clipped", "clipped": "clipped", "b": "b", "both": "both"
    }  # fmt: skip


def test_what_others_read_too_keeps_its_own_range() -> None:
    nodes = [*JOINED[:-1], _conv("b", "c"), _node("Add", ["c", "c"], "last")]
    found = _sources(nodes)
    assert (found["clipped"], found["b"]) == ("both", "b")


def test_what_was_moved_has_the_range_of_where_it_came_from() -> None:
    nodes = [
        _conv("input", "a"),
        _node("Transpose", ["a"], "moved", perm=[0, 2, 3, 1]),
        _node("Reshape", ["moved", "shape"], "again"),
        _node("Identity", ["again"], "last"),
    ]
    made = _model(nodes[:1])
    made.graph.node.extend(nodes[1:])
    made.graph.initializer.append(constant("shape", np.array([1, 36, 4])))
    del made.graph.output[:]
    made.graph.output.append(value("last", (None,) * 3))
    made = onnx.shape_inference.infer_shapes(made)
    found = range_sources(made, list(made.graph.node)[:3])
    assert found == {"input": "input", "a": "a", "moved": "a", "again": "a"}


def test_what_float_layers_make_is_not_computed_in_int8() -> None:
    made = [_conv("input", "a"), _node("Sub", ["a", "a"], "f"), _node("Mul", ["f", "f"], "p")]
    assert _kept([*made, _conv("p", "b"), _node("Sub", ["b", "b"], "last")]) == {"a", "b"}
    # a factor in int8 is reason enough, and moving a float tensor makes none of it
    gated = [*made[:2], _node("Mul", ["f", "a"], "p"), _conv("p", "b")]
    assert _kept([*gated, _node("Sub", ["b", "b"], "last")]) == {"a", "p", "b"}
    moved = [*made[:2], _node("Transpose", ["f"], "r", perm=[0, 1, 3, 2])]
    after = [_node("Mul", ["r", "r"], "p"), _conv("p", "b"), _node("Sub", ["b", "b"], "last")]
    assert _kept([*moved, *after]) == {"a", "b"}


@pytest.mark.parametrize("target", ["openvino", "tensorrt"])
def test_int8_goes_through_what_is_no_layer(target: str) -> None:
    both = [
        _node("Relu", ["a"], "ra"), _node("Relu", ["b"], "rb"), _node("Add", ["ra", "rb"], "sum"),
        _conv("sum", "c"), _node("Sub", ["c", "c"], "last"),
    ]  # fmt: skip
    assert _kept([_conv("input", "a"), _conv("input", "b"), *both], target) == {
        "a",
        "b",
        "sum",
        "c",
    }


def test_a_product_of_two_activations_stays_in_float() -> None:
    nodes = [
        _conv("input", "a"), _conv("input", "b"), _node("MatMul", ["a", "b"], "scores"),
        _conv("scores", "c"), _node("Sub", ["c", "c"], "last"),
    ]  # fmt: skip
    assert _kept(nodes) == {"a", "b", "c"}
    assert "scores" in _kept(nodes, "npu")


@pytest.mark.parametrize("halved_last", [True, False])
def test_a_gelu_stays_in_float(halved_last: bool) -> None:
    """Although convolutions around it would let its products run in int8."""
    factors = (
        [_node("Mul", ["a", "p"], "x"), _node("Mul", ["x", "half"], "g")]
        if halved_last
        else [_node("Mul", ["p", "half"], "x"), _node("Mul", ["a", "x"], "g")]
    )
    nodes = [
        _conv("input", "a"), _node("Div", ["a", "root"], "d"), _node("Erf", ["d"], "e"),
        _node("Add", ["e", "one"], "p"), *factors, _conv("g", "b"),
        _node("Sub", ["b", "b"], "last"),
    ]  # fmt: skip
    assert _kept(nodes) == {"a", "b"}


def test_a_concat_behind_a_move_gives_the_range_too() -> None:
    nodes = [
        _conv("input", "a"), _node("Transpose", ["a"], "r", perm=[0, 1, 3, 2]),
        _conv("input", "b"), _node("Concat", ["r", "b"], "both", axis=1),
        _node("Identity", ["both"], "last"),
    ]  # fmt: skip
    assert _sources(nodes) == dict.fromkeys(["a", "r", "b", "both"], "both") | {"input": "input"}


def test_a_glob_names_layers_or_the_weights_they_read() -> None:
    made = _model(
        [_conv("input", "first"), _conv("first", "second", 4), _node("Relu", ["second"], "last")]
    )
    assert matching_layers(made, ["sec*"]) == {"second"}
    assert matching_layers(made, ["depth*"]) == {"second"}
    assert matching_layers(made, ["w", "last"]) == {"first", "last"}
    assert matching_layers(made, []) == set()
    with pytest.raises(UsageError) as error:
        matching_layers(made, ["first", "input"])  # what is no constant is no name of a layer
    assert str(error.value) == (
        "--keep-float input: no layer has such a name, nor a weight, e.g. first or w"
    )
