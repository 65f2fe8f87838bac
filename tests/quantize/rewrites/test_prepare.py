"""Rewrites in a row: order, check, what is recorded."""

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper

from export.common.errors import QuantizeError
from quantize.calibration.channel_statistics import ChannelMinMax
from quantize.rewrites.bias_absorption import absorb_high_bias
from quantize.rewrites.change import Rewritten, Seen
from quantize.rewrites.equalization import equalize
from quantize.rewrites.prepare import prepare
from quantize.rewrites.table import REWRITES, Rewrite
from tests.export.build import constant
from tests.quantize.rewrites.graphs import (
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


def network() -> ModelProto:
    """Two convolutions whose channels differ a lot; channel 0 of `a` is always on."""
    first = weights("a", 4, 3, 1, 1)
    uneven = numpy_helper.to_array(first[0]) * np.array([1, 0.01, 0.3, 2]).reshape(4, 1, 1, 1)
    bias = constant("a.b", np.array([30, 0, 0, 0], np.float32))
    nodes = [conv("a", "input"), node("Relu", ["a"], "y"), conv("b", "y", "logits")]
    return graph(
        nodes, [constant("a.w", uneven.astype(np.float32)), bias, *weights("b", 3, 4, 1, 1)]
    )


def masks(made: ModelProto) -> ModelProto:
    """Give the class of each pixel instead of the logits."""
    made.graph.node.append(helper.make_node("ArgMax", ["logits"], ["mask"], axis=1, keepdims=0))
    del made.graph.output[:]
    made.graph.output.append(helper.make_tensor_value_info("mask", 7, (None,) * 3))
    return made


def test_rewrites_come_in_their_own_order_and_say_what_they_did() -> None:
    made = network()
    prepared = prepare(made, {"absorb-bias", "equalize"}, seen(made, images()), samples())
    assert [step.rewrite for step in prepared.steps] == ["equalize", "absorb-bias"]
    assert all(step.argmax_agreement == 100.0 for step in prepared.steps)
    assert all(step.max_abs_diff is not None for step in prepared.steps)
    assert max(step.max_abs_diff or 0 for step in prepared.steps) < 1e-3
    assert "channels scaled" in prepared.steps[0].summary
    assert "1 channels moved on" in prepared.steps[1].summary
    before, after = (tensors(m, ["logits"], images())["logits"] for m in (made, prepared.model))
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)


def test_the_difference_is_that_of_the_logits() -> None:
    made = network()
    prepared = prepare(made, ["equalize"], {}, samples(2))
    before, after = (tensors(m, ["logits"], images(2))["logits"] for m in (made, prepared.model))
    found = prepared.steps[0].max_abs_diff
    assert found == pytest.approx(float(np.abs(after - before).max()), rel=1e-3, abs=1e-9)


def test_nothing_to_apply_changes_nothing() -> None:
    made = network()
    prepared = prepare(made, [], {}, samples())
    assert (prepared.model, prepared.steps, prepared.rescaled) == (made, (), {})


def test_a_rewrite_that_found_nothing_is_listed_without_a_difference() -> None:
    made = network()
    (step,) = prepare(made, ["repair-dead-channels"], {}, samples()).steps
    assert (step.max_abs_diff, step.argmax_agreement) == (0.0, 100.0)
    assert step.summary == "0 layers with dead channels"


def _faulty(model: ModelProto, seen: Seen) -> Rewritten:
    copy = ModelProto()
    copy.CopyFrom(model)
    weight = next(t for t in copy.graph.initializer if t.name == "a.w")
    weight.CopyFrom(constant("a.w", constants(model)["a.w"] * np.float32(2)))
    return Rewritten(copy, "weights doubled")


def test_a_rewrite_that_changes_the_network_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Channel 0 is so large that the classes hardly notice; the logits do."""
    monkeypatch.setitem(REWRITES, "equalize", Rewrite("", _faulty))
    message = (
        r"^rewrite equalize changed the network \(logits .*; leave it out with --skip equalize$"
    )
    with pytest.raises(QuantizeError, match=message):
        prepare(network(), ["equalize"], {}, samples())


def test_a_rewrite_that_changes_masks_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    made = masks(network())
    for tensor in made.graph.initializer:
        if tensor.name == "a.b":
            tensor.CopyFrom(constant("a.b", np.ones(4, np.float32)))
    monkeypatch.setitem(REWRITES, "equalize", Rewrite("", _faulty))
    with pytest.raises(QuantizeError, match=r"changed the network \(argmax agreement"):
        prepare(made, ["equalize"], {}, samples())


def test_what_was_seen_follows_the_rewrites(monkeypatch: pytest.MonkeyPatch) -> None:
    """The third rewrite is told what calibration would see now, offsets and factors included."""
    told: dict[str, ChannelMinMax] = {}

    def watch(model: ModelProto, seen: Seen) -> Rewritten:
        told.update(seen)
        return Rewritten(model, "")

    names = list(REWRITES)[:3]
    for name, rewrite in zip(names, (absorb_high_bias, equalize, watch), strict=True):
        monkeypatch.setitem(REWRITES, name, Rewrite("", rewrite))
    made = network()
    prepared = prepare(made, names, seen(made, images()), samples())
    assert prepared.rescaled["a"].offset.any() and (prepared.rescaled["a"].factor != 1).any()
    expected = seen(prepared.model, images())
    for name in ("a", "y", "logits"):
        np.testing.assert_allclose(told[name].low, expected[name].low, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(told[name].high, expected[name].high, rtol=1e-3, atol=1e-4)


def test_masks_have_no_difference_of_logits() -> None:
    made = masks(network())
    (step,) = prepare(made, ["equalize"], {}, samples()).steps
    assert (step.max_abs_diff, step.argmax_agreement) == (None, 100.0)


def test_networks_with_a_batch_are_checked_too() -> None:
    made = network()
    for tensor in (made.graph.input[0], made.graph.output[0]):
        tensor.type.tensor_type.shape.dim[0].dim_value = 3
    del made.graph.value_info[:]
    made = onnx.shape_inference.infer_shapes(made)
    (step,) = prepare(made, ["equalize"], {}, samples()).steps
    assert step.argmax_agreement == 100.0
    assert "4 scalable" in step.summary


def test_needs_name_what_must_be_seen() -> None:
    nodes = [
        conv("a", "input"),
        node("Relu", ["a"], "y"),
        conv("b", "y"),
        node("Clip", ["b", "zero", "six"], "z"),
        conv("c", "z", "logits"),
    ]
    parts = [*weights("a", 4, 3, 1, 1), *weights("b", 4, 4, 1, 1), *weights("c", 2, 4, 1, 1)]
    bounds = [constant("zero", np.float32(0)), constant("six", np.float32(6))]
    made = graph(nodes, [*parts, *bounds])
    assert REWRITES["equalize"].needs(made) == {"b", "input", "y", "z"}
    assert REWRITES["absorb-bias"].needs(made) == {"a", "b"}
    assert REWRITES["repair-dead-channels"].needs(made) == set()
