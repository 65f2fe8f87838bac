"""Which channels may be scaled, on graphs whose classes can be told by hand."""

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper

from quantize.graph.clips import clip_bounds
from quantize.rewrites.channels import CoupledChannels, scalable_channels
from tests.export.build import constant, value
from tests.quantize.rewrites.graphs import conv, graph, node, weights

FIXED = [-1] * 4
MIDDLE = [0, 1, 2, 3]


def _around(
    nodes: list[NodeProto], constants: list[TensorProto] | None = None, result: str = "y"
) -> CoupledChannels:
    """Put nodes from `x` to `result`, both of 4 channels, between two convolutions."""
    return scalable_channels(
        graph(
            [conv("x", "input"), *nodes, conv("last", result, "logits")],
            [*weights("x", 4, 3, 1, 1), *weights("last", 2, 4, 1, 1), *(constants or [])],
        )
    )


def _ids(channels: CoupledChannels, name: str) -> list[int]:
    return [int(one) for one in channels.ids[name]]


@pytest.mark.parametrize(
    ("made", "constants"),
    [
        (node("Relu", ["x"], "y"), []),
        (node("LeakyRelu", ["x"], "y", alpha=0.1), []),
        (node("Identity", ["x"], "y"), []),
        (node("MaxPool", ["x"], "y", kernel_shape=[2, 2]), []),
        (node("AveragePool", ["x"], "y", kernel_shape=[2, 2]), []),
        (node("GlobalAveragePool", ["x"], "y"), []),
        (
            node("Resize", ["x", "", "twice"], "y", mode="linear"),
            [constant("twice", np.array([1, 1, 2, 2], np.float32))],
        ),
        (
            node("Pad", ["x", "around"], "y"),
            [constant("around", np.array([0, 0, 1, 1, 0, 0, 1, 1]))],
        ),
        (
            node("PRelu", ["x", "slope"], "y"),
            [constant("slope", np.full((4, 1, 1), 0.2, np.float32))],
        ),
        (node("PRelu", ["x", "slope"], "y"), [constant("slope", np.full(1, 0.2, np.float32))]),
        # a slope per pixel commutes with a factor per channel as well
        (
            node("PRelu", ["x", "slope"], "y"),
            [constant("slope", np.full((1, 6, 6), 0.2, np.float32))],
        ),
        (
            node("Clip", ["x", "zero", "six"], "y"),
            [constant("zero", np.float32(0)), constant("six", np.float32(6))],
        ),
        (node("Clip", ["x", "zero"], "y"), [constant("zero", np.float32(0))]),
        (
            node("Mul", ["factors", "x"], "y"),
            [constant("factors", np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1))],
        ),
    ],
    ids=lambda made: made.op_type if isinstance(made, NodeProto) else "",
)
def test_what_commutes_with_scaling_ties_its_input_to_its_output(
    made: NodeProto, constants: list[TensorProto]
) -> None:
    channels = _around([made], constants)
    assert channels.count == 4
    assert _ids(channels, "x") == _ids(channels, "y") == MIDDLE


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([node("Sigmoid", ["x"], "y")], []),
        ([node("HardSwish", ["x"], "y")], []),
        ([node("Mul", ["x", "x"], "y")], []),
        ([node("Add", ["x", "one"], "y")], [constant("one", np.ones((1, 4, 1, 1), np.float32))]),
        (
            [node("Clip", ["x", "low", "high"], "y")],
            [constant("low", np.float32(-1)), constant("high", np.float32(1))],
        ),
        ([node("Clip", ["x"], "y")], []),
        (
            [node("ReduceMax", ["x"], "top", keepdims=0), node("Clip", ["x", "", "top"], "y")],
            [],
        ),
        ([node("Relu", ["x"], "slope"), node("PRelu", ["x", "slope"], "y")], []),
        (
            [node("Pad", ["x", "around", "one"], "y")],
            [constant("around", np.array([0, 0, 1, 1] * 2)), constant("one", np.float32(1))],
        ),
        (
            [node("Relu", ["w"], "w_computed"), node("Conv", ["x", "w_computed"], "y")],
            [constant("w", np.ones((4, 4, 1, 1), np.float32))],
        ),
    ],
    ids=[
        "sigmoid", "unknown", "square", "constant", "clip both", "clip none", "computed bound",
        "computed slope", "pad with ones", "computed weight",
    ],
)  # fmt: skip
def test_what_does_not_commute_fixes_its_channels(
    nodes: list[NodeProto], constants: list[TensorProto]
) -> None:
    channels = _around(nodes, constants)
    assert (_ids(channels, "x"), _ids(channels, "y")) == (FIXED, FIXED)
    assert channels.count == 0


def test_what_a_branch_reads_is_fixed() -> None:
    """An If names what it takes from outside inside its branches only."""
    branches = [
        helper.make_graph([node(name, ["x"], name)], name, [], [value(name, (None,) * 4)])
        for name in ("Neg", "Abs")
    ]
    chosen = node("If", ["ever"], "y", then_branch=branches[0], else_branch=branches[1])
    channels = _around([chosen], [constant("ever", np.bool_(True))])
    assert _ids(channels, "x") == _ids(channels, "y") == FIXED


def test_input_and_outputs_of_the_graph_are_fixed() -> None:
    made = graph(
        [conv("x", "input"), node("Relu", ["x"], "features"), conv("y", "features", "logits")],
        [*weights("x", 4, 3, 1, 1), *weights("y", 2, 4, 1, 1)],
        outputs=("logits", "features"),
    )
    channels = scalable_channels(made)
    assert _ids(channels, "input") == [-1] * 3
    assert _ids(channels, "logits") == [-1] * 2
    # so is what is tied to an output
    assert _ids(channels, "x") == _ids(channels, "features") == FIXED


def test_convolutions_separate_their_input_from_their_output() -> None:
    made = [conv("dw", "x", "dw", group=4), node("Relu", ["dw"], "y")]
    channels = _around(made, weights("dw", 4, 1, 1, 1))
    assert _ids(channels, "x") == [0, 1, 2, 3]
    assert _ids(channels, "dw") == _ids(channels, "y") == [4, 5, 6, 7]
    assert channels.count == 8


def test_batch_normalization_separates_too() -> None:
    names = ["scale", "shift", "mean", "var"]
    made = node("BatchNormalization", ["x", *names], "y")
    channels = _around([made], [constant(name, np.ones(4, np.float32)) for name in names])
    assert (_ids(channels, "x"), _ids(channels, "y")) == ([0, 1, 2, 3], [4, 5, 6, 7])


def test_batch_normalization_with_constants_in_common_is_fixed() -> None:
    made = node("BatchNormalization", ["x", "ones", "zeros", "zeros", "ones"], "y")
    shared = [constant("ones", np.ones(4, np.float32)), constant("zeros", np.zeros(4, np.float32))]
    assert _ids(_around([made], shared), "x") == FIXED


def test_a_residual_add_ties_all_it_joins() -> None:
    nodes = [
        conv("inner", "x"),
        node("Relu", ["inner"], "inner_relu"),
        conv("outer", "inner_relu"),
        node("Add", ["outer", "x"], "y"),
    ]
    channels = _around(nodes, [*weights("inner", 5, 4, 1, 1), *weights("outer", 4, 5, 1, 1)])
    assert _ids(channels, "x") == _ids(channels, "outer") == _ids(channels, "y") == [0, 1, 2, 3]
    assert _ids(channels, "inner") == _ids(channels, "inner_relu") == [4, 5, 6, 7, 8]


def test_a_pooled_summand_is_tied_but_one_of_a_single_channel_fixes() -> None:
    pooled = [node("GlobalAveragePool", ["x"], "pooled"), node("Add", ["x", "pooled"], "y")]
    assert _ids(_around(pooled), "y") == MIDDLE
    single = [conv("one", "x"), node("Add", ["x", "one"], "y")]
    assert _ids(_around(single, weights("one", 1, 4, 1, 1)), "y") == FIXED


def test_concat_ties_each_part_to_its_place() -> None:
    nodes = [
        conv("a", "x"),
        conv("b", "x"),
        node("Concat", ["b", "a", "b"], "joined", axis=1),
        conv("y", "joined"),
    ]
    constants = [*weights("a", 2, 4, 1, 1), *weights("b", 3, 4, 1, 1), *weights("y", 4, 8, 1, 1)]
    channels = _around(nodes, constants)
    a, b = _ids(channels, "a"), _ids(channels, "b")
    assert len({*a, *b}) == 5 and -1 not in {*a, *b}
    assert _ids(channels, "joined") == [*b, *a, *b]


def test_concat_with_the_input_fixes_only_the_inputs_part() -> None:
    nodes = [node("Concat", ["input", "x"], "joined", axis=1), conv("y", "joined")]
    channels = _around(nodes, weights("y", 4, 7, 1, 1))
    assert _ids(channels, "joined") == [-1, -1, -1, *_ids(channels, "x")]
    assert -1 not in _ids(channels, "x")


@pytest.mark.parametrize("axis", [0, 2])
def test_concat_along_another_axis_is_fixed(axis: int) -> None:
    channels = _around([node("Concat", ["x", "x"], "y", axis=axis)])
    assert _ids(channels, "x") == FIXED


def test_weights_that_two_layers_read_fix_all_around_them() -> None:
    nodes = [
        node("Conv", ["x", "shared"], "a"),
        node("Relu", ["a"], "a_relu"),
        node("Conv", ["a_relu", "shared"], "y"),
    ]
    channels = _around(nodes, [constant("shared", np.ones((4, 4, 1, 1), np.float32))])
    for name in ("x", "a", "a_relu", "y"):
        assert _ids(channels, name) == FIXED


def test_a_branch_that_cannot_be_scaled_fixes_the_others() -> None:
    nodes = [node("Relu", ["x"], "y"), node("Sigmoid", ["x"], "other")]
    assert _ids(_around(nodes), "y") == FIXED


def test_bounds_of_a_clip() -> None:
    constants = [constant("zero", np.float32(0)), constant("six", np.array([6], np.float32))]
    nodes = [
        node("Clip", ["x", "zero", "six"], "a"),
        node("Clip", ["a", "", "six"], "b"),
        node("ReduceMax", ["x"], "top", keepdims=0),
        node("Clip", ["b", "zero", "top"], "y"),
    ]
    made = graph(
        [conv("x", "input"), *nodes, conv("last", "y", "logits")],
        [*weights("x", 4, 3, 1, 1), *weights("last", 2, 4, 1, 1), *constants],
    )
    clips = [n for n in made.graph.node if n.op_type == "Clip"]
    assert [clip_bounds(made, clip) for clip in clips] == [(0.0, 6.0), (-np.inf, 6.0), None]


@pytest.mark.parametrize("order", [["x", "gate"], ["gate", "x"]])
def test_a_gate_lets_what_it_multiplies_be_scaled(order: list[str]) -> None:
    nodes = [conv("before", "x"), node("Sigmoid", ["before"], "gate"), node("Mul", order, "y")]
    channels = _around(nodes, weights("before", 4, 4, 1, 1))
    assert _ids(channels, "x") == _ids(channels, "y") == MIDDLE
    assert _ids(channels, "gate") == _ids(channels, "before") == FIXED


def test_of_two_factors_that_could_be_scaled_neither_is() -> None:
    nodes = [conv("other", "x"), node("Mul", ["x", "other"], "y")]
    channels = _around(nodes, weights("other", 4, 4, 1, 1))
    for name in ("x", "other", "y"):
        assert _ids(channels, name) == FIXED


POOLED = [
    node("Reshape", ["x", "single"], "flat"),
    node("Conv", ["flat", "window"], "windows", strides=[2, 2]),
    node("Transpose", ["windows"], "turned", perm=[0, 1, 3, 2]),
    node("Reshape", ["turned", "several"], "y"),
]
SHAPES = [
    constant("single", np.array([4, 1, 6, 6])),
    constant("several", np.array([1, 4, 3, 3])),
    constant("window", np.ones((1, 1, 2, 2), np.float32)),
]


def test_channels_that_are_part_of_the_batch_for_a_while_stay_themselves() -> None:
    channels = _around(POOLED, SHAPES)
    assert _ids(channels, "x") == _ids(channels, "y") == MIDDLE
    assert channels.batched == {"flat", "windows", "turned"}
    for name in channels.batched:  # their one channel belongs to none of these
        assert _ids(channels, name) == [-1]


@pytest.mark.parametrize(
    "other",
    [
        node("Softmax", ["windows"], "odd", axis=0),  # across the images
        node("Transpose", ["windows"], "odd", perm=[1, 0, 2, 3]),
        node("Add", ["one", "windows"], "odd"),
        node("Conv", ["flat", "window", "bias"], "odd"),  # a summand does not commute
        node("Conv", ["one", "flat"], "odd"),  # as weights
    ],
    ids=lambda other: other.op_type,
)
def test_what_mixes_or_shifts_the_images_of_that_batch_fixes_them(other: NodeProto) -> None:
    more = [constant("one", np.ones((1, 1, 6, 6), np.float32)), constant("bias", np.ones(1, "f"))]
    if other.op_type == "Add":
        more[0] = constant("one", np.ones((1, 1, 3, 3), np.float32))
    channels = _around([*POOLED[:2], other, *POOLED[2:]], [*SHAPES, *more])
    assert _ids(channels, "x") == _ids(channels, "y") == FIXED
