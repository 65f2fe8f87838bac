"""Transposed convolutions done phase by phase, against PyTorch's."""

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, helper
from torch.nn.functional import conv_transpose2d

from export.onnx_graph.graph import with_input_shape
from export.onnx_graph.onnx_cost import graph_cost
from quantize.rewrites.operators.sub_pixel_conv import phases, sub_pixel_conv
from tests.export.build import computed, constant, image, model, operators, value, weight

CHANNELS, OUT, SIZE = 4, 6, (5, 7)


def network(
    kernel: tuple[int, int] = (2, 2),
    groups: int = 1,
    bias: bool = True,
    size: tuple[int | None, int | None] = SIZE,
    then: str = "",
    **given: Any,
) -> ModelProto:
    """A ConvTranspose, with `then` an operator behind it; `given` are its attributes."""
    inputs = ["input", "w", *(["b"] if bias else [])]
    settings = {"kernel_shape": kernel, "group": groups, "strides": [2, 2]} | given
    nodes = [helper.make_node("ConvTranspose", inputs, ["up"], name="up", **settings)]
    nodes.append(helper.make_node(then or "Neg", ["up"], ["logits"], name="then"))
    made = model(
        nodes,
        [value("input", (1, CHANNELS, *size))],
        [value("logits", (None,) * 4)],
        [weight("w", CHANNELS, OUT // groups, *kernel), weight("b", OUT)],
    )
    return onnx.shape_inference.infer_shapes(made, strict_mode=True)


def same(made: ModelProto, size: tuple[int, int] = SIZE) -> ModelProto:
    """Rewrite, compare with the original, and return what became of it."""
    change = sub_pixel_conv(made, {})
    assert change.summary == "1 transposed convolutions by phases: up"
    onnx.checker.check_model(change.model, full_check=True)
    assert "ConvTranspose" not in operators(change.model)
    assert "up" in [node.name for node in change.model.graph.node if node.op_type == "Conv"]
    picture = image(1, CHANNELS, *size)
    (before,), (after,) = computed(made, input=picture), computed(change.model, input=picture)
    assert after.shape == before.shape
    np.testing.assert_allclose(after, before, atol=1e-5 * np.abs(before).max())
    return change.model


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("groups", [1, 2])
def test_as_pytorch_does_it(kernel: int, stride: int, groups: int) -> None:
    for padding in range(min(kernel, 4)):
        for more in range(min(stride, 2)):
            made = network(
                (kernel, kernel), groups, strides=[stride] * 2, pads=[padding] * 4,
                output_padding=[more] * 2,
            )  # fmt: skip
            picture = image(1, CHANNELS, *SIZE)
            w, b = (torch.tensor(onnx.numpy_helper.to_array(t)) for t in made.graph.initializer)
            expected = -conv_transpose2d(
                torch.from_numpy(picture), w, b, stride, padding, more, groups
            ).numpy()
            (found,) = computed(sub_pixel_conv(made, {}).model, input=picture)
            assert found.shape == expected.shape
            np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    "given",
    [
        {"kernel": (4, 4), "pads": [1, 0, 0, 2]},
        {"kernel": (3, 5), "pads": [0, 2, 2, 1], "output_padding": [1, 0]},
        {"kernel": (4, 3), "strides": [2, 1], "pads": [1, 1, 1, 1]},
        {"kernel": (2, 3), "strides": [1, 2], "groups": 2},
        {"kernel": (5, 5), "strides": [3, 2], "pads": [2, 1, 0, 2], "groups": 2},
        {"kernel": (4, 4), "pads": [3, 3, 3, 3]},  # the first and last inputs hardly count
        {"kernel": (8, 8), "strides": [2, 2], "pads": [0, 0, 7, 7]},
        {"auto_pad": "VALID", "kernel": (3, 3)},
        {"auto_pad": "SAME_UPPER", "kernel": (3, 3)},
        {"auto_pad": "SAME_LOWER", "kernel": (3, 4)},
        {"kernel": (3, 3), "output_shape": [9, 14]},
        {"bias": False},
        {"kernel": (4, 4), "pads": [1] * 4, "then": "Relu"},
    ],
    ids=str,
)
def test_whatever_the_pads(given: dict[str, Any]) -> None:
    same(network(**given))


def test_sizes_may_vary() -> None:
    made = network((4, 4), pads=[1] * 4, size=(None, None))
    for size in ((5, 7), (8, 3)):
        same(made, size)


def test_what_common_layers_become() -> None:
    # the classic U-Net layer is a product and a move; DCGAN's sees one pixel more and crops it
    assert operators(same(network())) == ["Conv", "DepthToSpace", "Neg"]
    made = same(network((4, 4), pads=[1] * 4))
    assert operators(made) == ["Conv", "DepthToSpace", "Slice", "Neg"]
    made = same(network((3, 3), pads=[1] * 4, output_padding=[1, 1]))
    assert operators(made) == ["Conv", "DepthToSpace", "Neg"]


def test_a_relu_goes_to_the_convolution() -> None:
    made = same(network(then="Relu"))
    assert operators(made) == ["Conv", "Relu", "DepthToSpace"]
    assert [node.name for node in made.graph.node][:2] == ["up", "then"]


@pytest.mark.parametrize(
    ("kernel", "pads", "more", "taps", "positions"),
    [(2, 0, 0, 1, (5, 7)), (4, 1, 0, 2, (6, 8)), (3, 1, 1, 2, (5, 7))],
)
def test_macs_by_hand(
    kernel: int, pads: int, more: int, taps: int, positions: tuple[int, int]
) -> None:
    made = network((kernel, kernel), pads=[pads] * 4, output_padding=[more] * 2)
    change = sub_pixel_conv(made, {})
    macs = graph_cost(with_input_shape(change.model, (1, CHANNELS, *SIZE))).macs
    assert macs == positions[0] * positions[1] * taps**2 * CHANNELS * 4 * OUT


def test_phases_by_hand() -> None:
    # kernel a b c d, stride 2, pad 1: x0 gives a b c d from -1 on. Grouped from there on, pairs are
    # (a x0, b x0), (a x1 + c x0, b x1 + d x0), ...: of n + 1 pairs the first and last value go
    found = phases(4, 2, 1, -1, 8)
    np.testing.assert_array_equal(found.index, [[2, 0], [3, 1]])
    assert (found.pads, found.crop) == ((1, 1), (1, 1))
    # kernel a b c, pad 1, one more: (b x0, a x1 + c x0), ...
    found = phases(3, 2, 1, 0, 8)
    np.testing.assert_array_equal(found.index, [[1, 3], [2, 0]])
    assert (found.pads, found.crop) == ((0, 1), (0, 0))


@pytest.mark.parametrize(
    "given",
    [{"dilations": [2, 2]}, {"strides": [2, 1], "size": (None, None)}, {"pads": [2, 2, 0, 0]},
     {"auto_pad": "SAME_UPPER", "size": (None, None)}],
    ids=str,
)  # fmt: skip
def test_others_stay_as_they_are(given: dict[str, Any]) -> None:
    made = network(**given)
    change = sub_pixel_conv(made, {})
    assert change.model == made
    assert change.summary == "0 transposed convolutions by phases"


def test_a_computed_weight_stays() -> None:
    made = network()
    made.graph.initializer.remove(made.graph.initializer[0])
    made.graph.node.insert(0, helper.make_node("Neg", ["v"], ["w"], name="w"))
    made.graph.initializer.append(constant("v", np.ones((CHANNELS, OUT, 2, 2), np.float32)))
    assert sub_pixel_conv(made, {}).model == made


def test_what_others_read_keeps_its_relu() -> None:
    made = network(then="Relu")
    made.graph.output.append(value("up", (None,) * 4))
    assert operators(sub_pixel_conv(made, {}).model) == ["Conv", "DepthToSpace", "Relu"]
