"""Rewrites of the finished file are checked before it is written."""

from typing import Any

import pytest
from onnx import ModelProto, numpy_helper

from export.artifact.sample import Sample
from quantize.lossless.lossless import LOSSLESS, rewrite_losslessly
from tests.quantize.lossless.graphs import image, quantized


def samples(made: ModelProto) -> list[Sample]:
    return [Sample("one", image(made), "")]


def test_what_was_rewritten_is_named() -> None:
    made = quantized((20, 20), (8, 3, 3, 3))
    changed, facts = rewrite_losslessly(made, list(LOSSLESS), samples(made))
    assert facts == {"lossless": {"merge-pixels": ["conv"]}}
    assert changed != made


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
