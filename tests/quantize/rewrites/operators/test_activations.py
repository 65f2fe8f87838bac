"""Activations in the form that runs fastest, against their definitions."""

from math import erf
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto, helper

from export.ort.inspection import inspect
from quantize.rewrites.operators.gelu import order_gelu
from quantize.rewrites.operators.hard_sigmoid import write_out_hard_sigmoid
from tests.export.build import computed, constant, image, model, operators, saved, value

SHAPE = (1, 4, 6, 6)


def activation(operator: str, **given: float) -> ModelProto:
    made = model(
        [helper.make_node(operator, ["input"], ["logits"], name="act", **given)],
        [value("input", SHAPE)],
        [value("logits", SHAPE)],
    )
    return onnx.shape_inference.infer_shapes(made, strict_mode=True)


@pytest.mark.parametrize(
    ("operator", "given", "slope", "middle"),
    [("HardSigmoid", {}, 0.2, 0.5), ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.4}, 1 / 6, 0.4),
     ("HardSwish", {}, 1 / 6, 0.5)],
)  # fmt: skip
def test_hard_sigmoids_by_definition(
    operator: str, given: dict[str, float], slope: float, middle: float
) -> None:
    change = write_out_hard_sigmoid(activation(operator, **given), {})
    assert change.summary == "1 HardSigmoid or HardSwish as products and sums"
    onnx.checker.check_model(change.model, full_check=True)
    assert {"Mul", "Add", "Clip"} == set(operators(change.model))
    picture = 4 * image(*SHAPE)  # from -3 to 3 it is not cut
    wanted = np.clip(slope * picture + middle, 0, 1) * (picture if operator == "HardSwish" else 1)
    (found,) = computed(change.model, input=picture)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def gelu(halved: str) -> ModelProto:
    """As PyTorch's two exporters write it: halved first, or last."""
    behind = {
        "first": [("Mul", ["half", "plus"], "h"), ("Mul", ["input", "h"], "logits")],
        "last": [("Mul", ["input", "plus"], "h"), ("Mul", ["h", "half"], "logits")],
    }[halved]
    nodes = [("Div", ["input", "root"], "d"), ("Erf", ["d"], "e"), ("Add", ["e", "one"], "plus")]
    made = model(
        [helper.make_node(o, i, [name], name=f"node_{name}") for o, i, name in [*nodes, *behind]],
        [value("input", SHAPE)],
        [value("logits", SHAPE)],
        [constant(name, np.float32(v)) for name, v in
         (("half", 0.5), ("one", 1.0), ("root", np.sqrt(2)))],
    )  # fmt: skip
    return onnx.shape_inference.infer_shapes(made, strict_mode=True)


def test_a_gelu_becomes_one_kernel(tmp_path: Path) -> None:
    original = gelu("first")
    change = order_gelu(original, {})
    assert change.summary == "1 GELUs that one kernel computes"
    onnx.checker.check_model(change.model, full_check=True)
    picture = 2 * image(*SHAPE)
    wanted = picture * (1 + np.vectorize(erf)(picture / np.sqrt(2))) / 2
    (found,) = computed(change.model, input=picture)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    before, after = (
        inspect(saved(one, tmp_path, name), SHAPE).operators
        for one, name in ((original, "before"), (change.model, "after"))
    )
    assert "Gelu" not in before and after["Gelu"] == 1, ort.__version__


def test_a_gelu_in_that_order_stays() -> None:
    assert order_gelu(gelu("last"), {}).model == gelu("last")
