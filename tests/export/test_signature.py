import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from export.graph import dims
from export.signature import rename, resize_logits
from tests.export.build import computed, image, model, value, weight


@pytest.mark.parametrize("side", [64, 321, 480, 512, 513, 769])
def test_resized_logits_have_the_images_size_whatever_they_had(side: int) -> None:
    # a factor that float32 rounds down loses a row: 61 * float32(64 / 61) is below 64
    node = helper.make_node("Identity", ["input"], ["logits"])
    for small in range(8, 200):
        graph = model(
            [node],
            [value("input", (1, 2, small, 8))],
            [value("logits", (1, 2, None, None))],
        )
        resize_logits(graph, (small, 8), (side, 16))

        inferred = onnx.shape_inference.infer_shapes(graph, data_prop=True)
        assert dims(inferred.graph.output[0]) == (1, 2, side, 16), small


def test_onnxruntime_agrees_on_the_size() -> None:
    node = helper.make_node("Identity", ["input"], ["logits"])
    graph = model([node], [value("input", (1, 2, 61, 41))], [value("logits", (1, 2, None, None))])
    resize_logits(graph, (61, 41), (64, 64))

    assert computed(graph, input=image(1, 2, 61, 41))[0].shape == (1, 2, 64, 64)


def test_names_that_trade_places() -> None:
    """A file may call its logits 'mask' and its mask 'logits'."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["mask"], name="conv"),
        helper.make_node("ArgMax", ["mask"], ["logits"], axis=1, keepdims=0, name="argmax"),
    ]
    graph = model(
        nodes,
        [value("x", (1, 3, 8, 8))],
        [value("mask", (1, 4, 8, 8)), value("logits", (1, 8, 8), TensorProto.INT64)],
        [weight("w", 4, 3, 1, 1)],
    )
    source = image(1, 3, 8, 8)
    before = computed(graph, x=source)

    rename(graph, {"x": "input", "mask": "logits", "logits": "mask"})

    assert [v.name for v in graph.graph.output] == ["logits", "mask"]
    for found, wanted in zip(computed(graph, input=source), before, strict=True):
        np.testing.assert_array_equal(found, wanted)
