"""Layers that share a weight."""

import onnxruntime as ort
import pytest
from onnx import ModelProto

from quantize.graph.plan import Plan, build
from quantize.targets import TARGETS
from tests.export.build import computed
from tests.quantize.rewrites.graphs import conv, graph, images, tensors, weights


def _twice() -> ModelProto:
    first, again, last = conv("x", "input"), conv("x", "x", "y"), conv("last", "y", "logits")
    again.name = "conv_y"
    return graph(
        [first, again, last], [*weights("x", 3, 3, 1, 1), *weights("last", 2, 3, 1, 1)]
    )  # fmt: skip


@pytest.mark.parametrize("target", ["cpu", "qnn", "tensorrt"])
def test_both_compute_with_it_where_products_saturate_too(target: str) -> None:
    """There sessions get this setting; onnxruntime refused a weight that two layers read."""
    made, (image,) = _twice(), images(1)
    seen = {name: (float(v.min()), float(v.max())) for name, v in
            tensors(made, ["x", "y", "logits"], [image]).items()}  # fmt: skip
    ranges = {"input": (float(image.min()), float(image.max())), **seen}
    quantized = build(Plan(made, TARGETS[target], ("conv_x", "conv_y"), ranges, {}))
    options = ort.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = ort.InferenceSession(
        quantized.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"input": image})
    (wanted,) = computed(made, input=image)
    assert abs(found - wanted).max() < 0.05 * abs(wanted).max()
