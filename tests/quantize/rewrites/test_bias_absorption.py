"""High-bias absorption on networks whose channels are always on by construction."""

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

from quantize.rewrites.bias_absorption import absorb_high_bias
from quantize.rewrites.change import MARGIN
from quantize.rewrites.equalization import equalize
from quantize.rewrites.prepare import prepare
from tests.export.build import constant
from tests.quantize.rewrites.graphs import (
    assert_follows,
    constants,
    conv,
    graph,
    images,
    node,
    samples,
    seen,
    tensors,
    weights,
)

BIAS = np.array([50.0, 0.0, 30.0, -50.0], np.float32)


def network(clip: float | None = None, second: dict[str, Any] | None = None) -> ModelProto:
    """Channels 0 and 2 of `a` are always on, 3 never."""
    between = node("Relu", ["a"], "y") if clip is None else node("Clip", ["a", "zero", "cap"], "y")
    settings = {"kernel": 1, "groups": 1} | (second or {})
    kernel, groups = settings.pop("kernel"), settings.pop("groups")
    made = [conv("a", "input"), between, conv("b", "y", "logits", group=groups, **settings)]
    first = weights("a", 4, 3, 1, 1)[0]
    bounds = [constant("zero", np.float32(0)), constant("cap", np.float32(clip or 0))]
    return graph(
        made,
        [first, constant("a.b", BIAS), *weights("b", 6, 4 // groups, kernel, kernel, seed=1)]
        + (bounds if clip else []),
    )


@pytest.mark.parametrize(
    "second",
    [{}, {"kernel": 3}, {"groups": 2}, {"kernel": 3, "strides": [2, 2]}, {"auto_pad": "VALID"}],
)
def test_the_constant_part_moves_to_the_next_bias(second: dict[str, Any]) -> None:
    made = network(second=second)
    least = tensors(made, ["a"], images())["a"].min((0, 2, 3))
    change = absorb_high_bias(made, seen(made, images()))
    expected = np.maximum(least, 0) / MARGIN
    assert (expected > 10).tolist() == [True, False, True, False]
    np.testing.assert_allclose(change.rescaled["a"].offset, expected, rtol=1e-6)
    np.testing.assert_array_equal(change.rescaled["a"].factor, 1.0)
    np.testing.assert_allclose(constants(change.model)["a.b"], BIAS - expected, rtol=1e-5)
    np.testing.assert_array_equal(constants(change.model)["b.w"], constants(made)["b.w"])
    assert change.rescaled.keys() == {"a", "y"}
    assert change.summary == "the constant part of 2 channels moved on"
    assert_follows(made, change, images())


def test_ranges_become_narrower() -> None:
    made = network()
    change = absorb_high_bias(made, seen(made, images()))
    high = [float(tensors(m, ["y"], images())["y"].max()) for m in (made, change.model)]
    assert high[1] < 0.5 * high[0]


def test_every_reader_of_a_tensor_gets_its_part() -> None:
    nodes = [
        conv("a", "input"),
        node("Relu", ["a"], "y"),
        conv("b", "y"),
        conv("c", "y"),
        node("Add", ["b", "c"], "logits"),
    ]
    parts = [*weights("b", 2, 4, 1, 1, seed=1), *weights("c", 2, 4, 1, 1, seed=2)]
    made = graph(nodes, [weights("a", 4, 3, 1, 1)[0], constant("a.b", BIAS), *parts])
    change = absorb_high_bias(made, seen(made, images()))
    assert change.rescaled.keys() == {"a", "y"}
    assert_follows(made, change, images())


@pytest.mark.parametrize(
    "made",
    [
        network(second={"kernel": 3, "pads": [0, 1, 0, 1]}),
        network(second={"kernel": 3, "auto_pad": "SAME_UPPER"}),
        network(second={"kernel": 3, "auto_pad": "SAME_LOWER"}),
    ],
)
def test_readers_that_pad_with_zeros_are_left_alone(made: ModelProto) -> None:
    change = absorb_high_bias(made, seen(made, images()))
    assert change.model.graph == made.graph and not change.rescaled


@pytest.mark.parametrize("what", ["output", "shared bias", "no bias", "pooled", "read twice"])
def test_what_cannot_be_moved_stays(what: str) -> None:
    made = network()
    if what == "output":
        made.graph.output.append(next(v for v in made.graph.value_info if v.name == "y"))
    elif what == "no bias":
        del made.graph.node[2].input[2]
    elif what == "shared bias":
        made.graph.node.append(node("Neg", ["b.b"], "other"))
    elif what == "pooled":
        made.graph.node.append(node("GlobalAveragePool", ["y"], "other"))
    else:
        made.graph.node.append(node("Neg", ["a"], "other"))
    change = absorb_high_bias(made, seen(made, images()))
    assert change.model.graph == made.graph and not change.rescaled


def test_a_cap_that_may_be_reached_keeps_its_channel() -> None:
    made = network(clip=55.0)
    extremes = seen(made, images())
    # channel 0 reaches 50 and more, 1.25 times which is beyond 55; channel 2 stays below
    assert extremes["a"].high[0] * MARGIN > 55 > extremes["a"].high[2] * MARGIN
    change = absorb_high_bias(made, extremes)
    assert change.rescaled["a"].offset[0] == 0 < change.rescaled["a"].offset[2]
    assert_follows(made, change, images())


def test_a_lower_bound_other_than_zero_is_left_alone() -> None:
    made = network(clip=1000.0)
    for tensor in made.graph.initializer:
        if tensor.name == "zero":
            tensor.CopyFrom(constant("zero", np.float32(-1)))
    assert not absorb_high_bias(made, seen(made, images())).rescaled


def test_after_equalization_tensors_still_follow_the_original() -> None:
    made = network()
    for tensor in made.graph.initializer:
        if tensor.name == "a.w":  # uneven, so that equalization has something to do
            uneven = constants(made)["a.w"] * np.array([0.1, 1, 2, 0.5]).reshape(4, 1, 1, 1)
            tensor.CopyFrom(constant("a.w", uneven.astype(np.float32)))
    extremes = seen(made, images())
    prepared = prepare(made, ["absorb-bias", "equalize"], extremes, samples())
    assert [step.rewrite for step in prepared.steps] == ["equalize", "absorb-bias"]
    alone = equalize(made, extremes)
    found, scaled = prepared.rescaled["a"], alone.rescaled["a"]
    np.testing.assert_allclose(found.factor, scaled.factor)
    # measured on the original: what it never falls below, whatever the factor
    np.testing.assert_allclose(found.offset, np.maximum(extremes["a"].low, 0) / MARGIN, rtol=1e-5)
    assert (found.factor != 1).any() and found.offset.any()
    values = [tensors(m, ["a", "y", "logits"], images()) for m in (made, prepared.model)]
    for name in ("a", "y"):
        change = prepared.rescaled[name]
        back = change.factor[:, None, None] * values[1][name] + change.offset[:, None, None]
        np.testing.assert_allclose(back, values[0][name], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(values[1]["logits"], values[0]["logits"], rtol=1e-4, atol=1e-4)
