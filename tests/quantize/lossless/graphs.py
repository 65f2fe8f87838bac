"""int8 files of one convolution, and whether a rewrite changed what they give."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, helper

from quantize.graph.plan import Plan, build
from quantize.targets import TARGETS
from tests.export.build import computed, model, value, weight


def quantized(
    size: tuple[int, int],
    weights: tuple[int, ...],
    target: str = "cpu",
    batch: int = 1,
    **attributes: Any,
) -> ModelProto:
    """The QDQ file of a convolution with `weights` (rows, channels / groups, kernel)."""
    groups = attributes.get("group", 1)
    made = model(
        [helper.make_node("Conv", ["input", "w", "b"], ["logits"], name="conv", **attributes)],
        [value("input", (batch, weights[1] * groups, *size))],
        [value("logits", (None,) * 4)],
        [weight("w", *weights), weight("b", weights[0])],
    )
    made = onnx.shape_inference.infer_shapes(made, strict_mode=True)
    (largest,) = (float(np.abs(one).max()) for one in computed(made, input=image(made)))
    ranges = {"input": (-2.0, 3.0), "logits": (-0.7 * largest, 0.8 * largest)}
    return build(Plan(made, TARGETS[target], ("conv",), ranges, {}))


def image(made: ModelProto) -> np.ndarray[Any, np.dtype[np.float32]]:
    shape = [d.dim_value for d in made.graph.input[0].type.tensor_type.shape.dim]
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


def assert_same(made: ModelProto, rewrite: Callable[[ModelProto], list[str]]) -> ModelProto:
    """Rewrite a copy; it gives the same numbers, to the last bit."""
    changed = ModelProto()
    changed.CopyFrom(made)
    assert rewrite(changed) == ["conv"]
    onnx.checker.check_model(changed, full_check=True)
    (before,), (after,) = (computed(one, input=image(made)) for one in (made, changed))
    assert len(np.unique(before)) > 50
    np.testing.assert_array_equal(after, before)
    return changed
