import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch.nn import functional as F

from export.foreign.signature import resize_logits
from export.onnx_graph.graph import dims
from tests.export.build import computed, image, model, value


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


@pytest.mark.parametrize("side", [64, 97])
def test_logits_of_any_image_are_resized_to_its_size(side: int) -> None:
    node = helper.make_node(
        "AveragePool", ["input"], ["logits"], kernel_shape=[2, 2], strides=[2, 2]
    )
    graph = _pool(node)
    resize_logits(graph, (32, 32), (None, None), (64, 64))

    found = computed(graph, input=image(1, 2, side, 66))[0]

    small = torch.from_numpy(computed(_pool(node), input=image(1, 2, side, 66))[0])
    wanted = F.interpolate(small, size=(side, 66), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)


def _pool(node: onnx.NodeProto) -> onnx.ModelProto:
    return model([node], [value("input", (1, 2, "h", "w"))], [value("logits", (1, 2, None, None))])
