"""PRelu written out."""

import numpy as np
import pytest
from onnx import helper, numpy_helper

from export.onnx_graph.graph import infer_shapes
from quantize.rewrites.operators.prelu import write_out_prelu
from tests.export.build import computed, model, value


@pytest.mark.parametrize("channels", [16, 10])
@pytest.mark.parametrize("steepest", [0.9, 1.7])
def test_the_values_are_the_same(channels: int, steepest: float) -> None:
    slopes = np.linspace(-1.1, steepest, channels, dtype=np.float32).reshape(channels, 1, 1)
    made = infer_shapes(
        model(
            [helper.make_node("PRelu", ["input", "slopes"], ["logits"], name="act")],
            [value("input", (1, channels, 5, 6))],
            [value("logits", (1, channels, 5, 6))],
            [numpy_helper.from_array(slopes, "slopes")],
        )
    )
    change = write_out_prelu(made, {})
    assert {node.name for node in change.model.graph.node} == change.kept_float
    assert "PRelu" not in {node.op_type for node in change.model.graph.node}
    image = np.random.default_rng(0).normal(size=(1, channels, 5, 6)).astype(np.float32)
    (found,) = computed(change.model, input=image)
    np.testing.assert_allclose(found, np.where(image > 0, image, slopes * image), atol=1e-6)
