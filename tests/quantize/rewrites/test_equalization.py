"""Equalization: the function stays, ranges come closer, ReLU6 cuts as before."""

import re

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from quantize.rewrites.change import MARGIN
from quantize.rewrites.equalization import equalize
from tests.export.build import constant, value
from tests.export.build import model as build_model
from tests.quantize.rewrites.graphs import (
    assert_follows,
    constants,
    conv,
    graph,
    images,
    node,
    seen,
    tensors,
    weights,
)

SIX = [constant("zero", np.float32(0)), constant("six", np.float32(6))]


def _uneven(name: str, *shape: int, seed: int = 0) -> list[TensorProto]:
    """Weight and bias whose output channels differ by factors up to 1000.

    The widest of them give values of the size of the input's.
    """
    spread = 10 ** np.random.default_rng(seed + 50).uniform(-3, 0, shape[0])
    spread /= spread.max() * np.sqrt(np.prod(shape[1:]))
    found = []
    for tensor in weights(name, *shape, seed=seed):
        values = numpy_helper.to_array(tensor)
        scaled = values * spread.reshape(-1, *[1] * (values.ndim - 1))
        found.append(constant(tensor.name, scaled.astype(np.float32)))
    return found


def pair(clip: str = "Relu") -> ModelProto:
    """Two convolutions with a Relu or Clip(0, 6) between."""
    between = (
        node("Relu", ["a"], "y") if clip == "Relu" else node("Clip", ["a", "zero", "six"], "y")
    )
    made = [conv("a", "input"), between, conv("b", "y", "logits", pads=[1] * 4)]
    bounds = SIX if clip == "Clip" else []
    return graph(made, [*_uneven("a", 8, 3, 3, 3), *_uneven("b", 4, 8, 3, 3, seed=1), *bounds])


def everything() -> ModelProto:
    """All that channels can be scaled through, in one network."""
    nodes = [
        conv("stem", "input", pads=[1] * 4),
        node("PRelu", ["stem", "slope"], "x"),
        conv("wide", "x"),
        node("Relu", ["wide"], "wide_relu"),
        conv("dw", "wide_relu", group=12, pads=[1] * 4),
        node("LeakyRelu", ["dw"], "dw_relu", alpha=0.1),
        conv("narrow", "dw_relu"),
        node("Add", ["narrow", "x"], "sum"),
        node("BatchNormalization", ["sum", "gamma", "beta", "mean", "var"], "normal"),
        node("GlobalAveragePool", ["normal"], "pooled"),
        conv("image", "pooled"),
        helper.make_node("Constant", [], ["sizes"], value=constant("", np.array([1, 3, 6, 6]))),
        node("Resize", ["image", "", "", "sizes"], "image_big", mode="nearest"),
        conv("grouped", "normal", group=2, pads=[1] * 4),
        conv("gate", "pooled"),
        node("Sigmoid", ["gate"], "open"),
        node("Mul", ["grouped", "open"], "gated"),
        node("Mul", ["gated", "half"], "halved"),
        node("Reshape", ["halved", "single"], "flat"),
        node("Conv", ["flat", "window"], "windows", strides=[2, 2]),
        node("Transpose", ["windows"], "turned", perm=[0, 1, 3, 2]),
        node("Reshape", ["turned", "several"], "small"),
        node("Resize", ["small", "", "twice"], "small_big", mode="linear"),
        node("Concat", ["grouped", "image_big", "small_big"], "joined", axis=1),
        conv("head", "joined", "logits"),
    ]
    slope = np.random.default_rng(0).uniform(0, 0.5, (4, 1, 1)).astype(np.float32)
    rng = np.random.default_rng(1)
    made = [
        *_uneven("stem", 4, 3, 3, 3), constant("slope", slope), *_uneven("wide", 12, 4, 1, 1),
        *_uneven("dw", 12, 1, 3, 3), *_uneven("narrow", 4, 12, 1, 1),
        constant("gamma", rng.normal(1, 0.1, 4).astype(np.float32)),
        constant("beta", rng.normal(size=4).astype(np.float32)),
        constant("mean", rng.normal(size=4).astype(np.float32)),
        constant("var", rng.uniform(0.5, 2, 4).astype(np.float32)),
        *_uneven("image", 3, 4, 1, 1),
        *_uneven("grouped", 6, 2, 3, 3), *_uneven("head", 5, 15, 1, 1),
        *weights("gate", 6, 4, 1, 1), constant("half", np.float32(0.5)),
        constant("single", np.array([6, 1, 6, 6])), constant("several", np.array([1, 6, 3, 3])),
        constant("window", rng.normal(size=(1, 1, 2, 2)).astype(np.float32)),
        constant("twice", np.array([1, 1, 2, 2], np.float32)),
    ]  # fmt: skip
    return graph(nodes, made)


def rows(made: ModelProto, name: str) -> NDArray[np.float32]:
    """Range of each output channel's weights."""
    return np.abs(constants(made)[name]).max((1, 2, 3))


def columns(made: ModelProto, name: str) -> NDArray[np.float32]:
    """Range of the weights that read each input channel."""
    return np.abs(constants(made)[name]).max((0, 2, 3))


def test_two_layers_reach_the_closed_form_of_the_paper() -> None:
    made = pair()
    change = equalize(made, {})
    # s = sqrt(r1 / r2), up to one factor for all channels, which changes no range's share
    expected = np.sqrt(rows(made, "a.w") / columns(made, "b.w"))
    factor = change.rescaled["a"].factor / expected
    np.testing.assert_allclose(factor, factor[0], rtol=5e-3)
    assert change.rescaled["a"].factor.std() > 0.1
    # then a channel has the same share of the range of both weights
    made_share = rows(change.model, "a.w") / rows(change.model, "a.w").max()
    read_share = columns(change.model, "b.w") / columns(change.model, "b.w").max()
    np.testing.assert_allclose(made_share, read_share, rtol=1e-2)


@pytest.mark.parametrize("made", [pair(), pair("Clip"), everything()], ids=["pair", "clip", "all"])
def test_the_function_stays_and_every_tensor_follows(made: ModelProto) -> None:
    change = equalize(made, seen(made, images()))
    assert change.rescaled
    before, after = (tensors(m, ["logits"], images(8))["logits"] for m in (made, change.model))
    assert np.abs(after - before).max() < 1e-5 * np.abs(before).max()
    assert_follows(made, change, images())
    assert "logits" not in change.rescaled and "input" not in change.rescaled


def test_weak_channels_get_more_of_their_tensors_range() -> None:
    made = everything()
    change = equalize(made, {})
    for name in ("stem.w", "wide.w", "dw.w", "narrow.w", "grouped.w"):
        before, after = (rows(m, name).min() / rows(m, name).max() for m in (made, change.model))
        assert after > 1.5 * before
    # the head's outputs are the graph's and stay as uneven as they were, relative to its inputs
    assert change.rescaled.keys() >= {
        "stem",
        "x",
        "wide",
        "dw",
        "sum",
        "normal",
        "pooled",
        "joined",
    }


def test_the_summary_says_how_many_bits_channels_lie_below_their_tensor() -> None:
    a = np.zeros((2, 1, 1, 1), np.float32)
    a[:, 0, 0, 0] = 8, 1 / 2  # ranges 8 and 1/2: 0 and 4 bits below
    b = np.ones((1, 2, 1, 1), np.float32)  # a single channel: 0 bits
    made = graph(
        [
            helper.make_node("Conv", ["input", "a.w"], ["a"], name="a"),
            node("Relu", ["a"], "y"),
            helper.make_node("Conv", ["y", "b.w"], ["logits"], name="b"),
        ],
        [constant("a.w", a), constant("b.w", b)],
        channels=1,
    )
    change = equalize(made, {})
    # s = sqrt(r1 / r2) leaves the second channel sqrt(16) = 4 times below the first:
    # (0 + 4 + 0) / 3 bits before, (0 + 2 + 0) / 3 after
    found = re.search(r"(\d) of (\d) scalable .* ([\d.]+) -> ([\d.]+) bits", change.summary)
    assert found is not None
    assert found.groups() == ("2", "2", "1.33", "0.67")


def _reaching(highs: list[float]) -> ModelProto:
    """Channel c of `a` is highs[c] times the input, whose largest value is 1."""
    a = np.array(highs, np.float32).reshape(-1, 1, 1, 1)
    b = np.random.default_rng(0).normal(size=(2, len(highs), 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["input", "a.w"], ["a"], name="a"),
        node("Clip", ["a", "zero", "six"], "y"),
        helper.make_node("Conv", ["y", "b.w"], ["logits"], name="b"),
    ]
    return graph(nodes, [constant("a.w", a), constant("b.w", b), *SIX], channels=1)


def test_channels_that_reach_six_are_left_alone_and_no_other_reaches_it() -> None:
    highs = [9.0, 6.0, 5.0, 4.0, 0.01, 0.3]  # with the margin of 1.25, 5.0 may reach 6 too
    made = _reaching(highs)
    picture = np.linspace(-1, 1, 36).reshape(1, 1, 6, 6).astype(np.float32)
    change = equalize(made, seen(made, [picture]))
    factor = change.rescaled["a"].factor
    np.testing.assert_array_equal(factor[:3], 1.0)
    assert (factor[3:] != 1).all()
    assert (np.array(highs)[3:] * MARGIN / factor[3:] <= 6 * (1 + 1e-6)).all()
    assert factor[4] < 0.1  # the weak channel is amplified
    # images that exceed what was seen by the margin give the same
    before, after = (
        tensors(m, ["logits"], [picture * MARGIN])["logits"] for m in (made, change.model)
    )
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


def test_a_channel_is_amplified_just_as_far_as_six_allows() -> None:
    made = _reaching([10.0, 4.0])
    read = np.array([[[[1.0]], [[100.0]]]] * 2, np.float32)
    made.graph.initializer[1].CopyFrom(constant("b.w", read))
    picture = np.linspace(-1, 1, 36).reshape(1, 1, 6, 6).astype(np.float32)
    change = equalize(made, seen(made, [picture]))
    # the first channel is cut and stays; the second could have its range with a factor of
    # 4 / 10 without becoming the widest to be read, but reaches 6 with 4 * 1.25 / 6
    np.testing.assert_allclose(change.rescaled["a"].factor, [1.0, 4 * MARGIN / 6])


def test_tensors_of_several_layers_do_not_drift() -> None:
    """What makes `sum` is far more uneven than what reads it; the result is no extreme."""
    made = everything()
    change = equalize(made, {})
    for name in ("stem", "sum", "normal", "wide", "dw", "joined"):
        factor = change.rescaled[name].factor
        # uneven by 1000 at most to begin with
        assert 1e-3 < factor.min() < factor.max() < 1e3
        own = factor[:9] if name == "joined" else factor  # the rest is scaled as its first part
        assert np.unique(own).size == own.size  # none is at a limit


def test_networks_with_nothing_to_scale_stay_as_they_are() -> None:
    made = graph([conv("a", "input", "logits")], weights("a", 4, 3, 3, 3))
    change = equalize(made, {})
    assert change.model.graph == made.graph and not change.rescaled
    assert change.summary.startswith("0 of 0 scalable channels")


def test_what_it_does_not_know_is_left_alone() -> None:
    """A computed bias, an absent one, and a convolution of sequences."""
    nodes = [
        node("ReduceMean", ["input", "axes"], "bias", keepdims=0),
        helper.make_node("Conv", ["input", "one.w", "bias"], ["one"], name="one"),
        node("Relu", ["one"], "one_relu"),
        helper.make_node("Conv", ["one_relu", "two.w", ""], ["two"], name="two"),
        node("Relu", ["two"], "two_relu"),
        conv("three", "two_relu"),
        node("Reshape", ["three", "flat"], "line"),
        helper.make_node("Conv", ["line", "four.w"], ["logits"], name="four"),
    ]
    made = build_model(
        nodes,
        [value("input", (1, 3, 6, 6))],
        [value("logits", (1, 2, 36))],
        [
            constant("axes", np.array([0, 2, 3])), constant("flat", np.array([1, 5, 36])),
            weights("one", 3, 3, 1, 1)[0], *_uneven("two", 4, 3, 1, 1)[:1],
            *_uneven("three", 5, 4, 1, 1), weights("four", 2, 5, 1)[0],
        ],
    )  # fmt: skip
    made = onnx.shape_inference.infer_shapes(made)
    change = equalize(made, {})
    assert change.rescaled.keys() == {"two", "two_relu"}
    assert_follows(made, change, images())


def test_what_a_convolution_reads_counts_as_its_weights_do() -> None:
    made = pair()
    known = seen(made, images())
    change = equalize(made, known)
    read = np.maximum(np.abs(known["y"].low), np.abs(known["y"].high))
    # made and read divided by s, the weights that read it multiplied: s^3 = r1 * r_y / r2
    expected = np.cbrt(rows(made, "a.w") * read / columns(made, "b.w"))
    factor = change.rescaled["a"].factor / expected
    np.testing.assert_allclose(factor, factor[0], rtol=5e-3)


def test_a_dead_channel_moves_no_other() -> None:
    made = pair()
    without = equalize(made, {}).rescaled["a"].factor
    dead = pair()
    for tensor in (t for t in dead.graph.initializer if t.name == "a.w"):
        values = numpy_helper.to_array(tensor).copy()
        values[2] *= 1e-6 * np.abs(values).max() / np.abs(values[2]).max()
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    factor = equalize(dead, {}).rescaled["a"].factor
    others = np.arange(8) != 2
    ratio = (factor / without)[others]
    np.testing.assert_allclose(ratio, ratio[0], rtol=2e-2)
    assert 0.3 < ratio[0] < 3  # by six orders of magnitude in one of 8 it would be 5
