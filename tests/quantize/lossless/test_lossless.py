"""Rewrites of the finished file are checked before it is written."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper

from export.artifact.sample import Sample
from quantize.lossless.lossless import LOSSLESS, rewrite_losslessly
from tests.export.build import computed
from tests.quantize.lossless.graphs import image, quantized


def samples(made: ModelProto) -> list[Sample]:
    return [Sample("one", image(made), "")]


def test_what_was_rewritten_is_named() -> None:
    made = quantized((20, 20), (8, 3, 3, 3))
    changed, facts = rewrite_losslessly(made, list(LOSSLESS), samples(made))
    assert facts == {"lossless": {"merge-pixels": ["conv"]}}
    assert changed != made


def test_names_that_are_taken_are_given_to_nothing_else() -> None:
    """As a rewrite of the float network may have taken them for the same layer."""
    made = quantized((20, 20), (8, 3, 3, 3))
    renamed = {"w_quantized": "conv/constant_0", "input_QuantizeLinear_Output": "conv/Concat_3"}
    for node in made.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    for tensor in made.graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)
    del made.graph.value_info[:]
    onnx.checker.check_model(made, full_check=True)
    assert {name for node in made.graph.node for name in node.input} >= set(renamed.values())
    changed, facts = rewrite_losslessly(made, list(LOSSLESS), samples(made))
    assert facts == {"lossless": {"merge-pixels": ["conv"]}}
    (before,), (after,) = (computed(one, input=image(made)) for one in (made, changed))
    np.testing.assert_array_equal(after, before)


def test_batches_are_checked_too() -> None:
    made = quantized((20, 20), (8, 3, 3, 3), batch=2)
    one = Sample("one", image(made)[:1], "")
    assert rewrite_losslessly(made, list(LOSSLESS), [one])[1] == {
        "lossless": {"merge-pixels": ["conv"]}
    }


def test_without_anything_to_do_the_model_is_the_same() -> None:
    made = quantized((20, 20), (8, 8, 3, 3))
    assert rewrite_losslessly(made, list(LOSSLESS), samples(made)) == (made, {})


def test_what_changes_an_integer_is_left_out_and_the_rest_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def damage(model: ModelProto) -> list[str]:
        weight: Any = next(t for t in model.graph.initializer if t.data_type == 3)
        values = numpy_helper.to_array(weight).copy()
        values.flat[0] ^= 64
        weight.CopyFrom(numpy_helper.from_array(values, weight.name))
        return ["conv"]

    monkeypatch.setitem(LOSSLESS, "damage", damage)
    made = quantized((20, 20), (8, 8, 3, 3))
    assert rewrite_losslessly(made, ["damage"], samples(made)) == (made, {"left_out": ["damage"]})
    wide = quantized((20, 20), (8, 3, 3, 3))
    kept, facts = rewrite_losslessly(wide, ["damage", "merge-pixels"], samples(wide))
    assert facts == {"lossless": {"merge-pixels": ["conv"]}, "left_out": ["damage"]}
    assert [n.op_type for n in kept.graph.node] != [n.op_type for n in wide.graph.node]
