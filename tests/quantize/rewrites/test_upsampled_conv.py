"""Convolutions that change places with the Resize before them."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from export.onnx_graph.graph import with_input_shape
from export.onnx_graph.onnx_cost import graph_cost
from quantize.rewrites.upsampled_conv import convolve_before_resize, interpolation
from tests.export.build import computed, constant, model, value, weight

SMALL, CHANNELS, OUT = (6, 5), 12, 8


def network(
    size: tuple[int, int] = (24, 20),
    kernel: int = 3,
    joined: str = "after",
    batch: int = 1,
    mode: str = "half_pixel",
    bias: bool = True,
    resize: dict[str, Any] | None = None,
    conv: dict[str, Any] | None = None,
) -> ModelProto:
    """A convolution of an enlarged input, `joined` with a low-level input on one side or none."""
    given = {"mode": "linear", "coordinate_transformation_mode": mode} | (resize or {})
    nodes = [helper.make_node("Resize", ["input", "", "", "sizes"], ["up"], name="up", **given)]
    both = {"after": ["low", "up"], "before": ["up", "low"], "none": []}[joined]
    if both:
        nodes.append(helper.make_node("Concat", both, ["cat"], name="cat", axis=1))
    settings = {"kernel_shape": [kernel] * 2, "pads": [kernel // 2] * 4} | (conv or {})
    inputs = ["cat" if both else "up", "w", *(["b"] if bias else [])]
    nodes.append(helper.make_node("Conv", inputs, ["logits"], name="conv", **settings))
    low = [value("low", (batch, 3, *size))] if both else []
    channels = CHANNELS + 3 * bool(both)
    made = model(
        nodes,
        [value("input", (batch, CHANNELS, *SMALL)), *low],
        [value("logits", (None,) * 4)],
        [constant("sizes", np.array([batch, CHANNELS, *size])),
         weight("w", OUT, channels, kernel, kernel), *([weight("b", OUT)] if bias else [])],
    )  # fmt: skip
    return onnx.shape_inference.infer_shapes(made, strict_mode=True)


def pictures(made: ModelProto) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    rng = np.random.default_rng(1)
    return {
        source.name: rng.normal(
            size=[d.dim_value for d in source.type.tensor_type.shape.dim]
        ).astype(np.float32)
        for source in made.graph.input
    }


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"joined": "before"},
        {"joined": "none"},
        {"joined": "none", "bias": False},
        {"bias": False},
        {"kernel": 1},
        {"kernel": 5},
        {"batch": 2},
        {"size": (21, 23)},
        {"size": (21, 17), "mode": "align_corners"},
        {"mode": "asymmetric"},
        {"mode": "pytorch_half_pixel"},
    ],
    ids=str,
)
def test_the_result_is_the_same(given: dict[str, Any]) -> None:
    made = network(**given)
    change = convolve_before_resize(made, {})
    assert change.summary == "1 convolutions before a Resize: conv"
    onnx.checker.check_model(change.model)
    assert "Resize" not in {node.op_type for node in change.model.graph.node}
    images = pictures(made)
    (before,), (after,) = computed(made, **images), computed(change.model, **images)
    assert after.shape == before.shape
    np.testing.assert_allclose(after, before, atol=2e-5 * np.abs(before).max())


@pytest.mark.parametrize(("pads", "found"), [(1, 1), (0, 0)])
def test_a_convolution_need_not_name_its_kernels_size(pads: int, found: int) -> None:
    """It is that of the weight; without pads the border is lost, which the rewrite does not do."""
    made = network(conv={"pads": [pads] * 4})
    conv = next(node for node in made.graph.node if node.op_type == "Conv")
    conv.attribute.remove(next(a for a in conv.attribute if a.name == "kernel_shape"))
    change = convolve_before_resize(made, {})
    assert change.summary.startswith(f"{found} convolutions")
    images = pictures(made)
    (before,), (after,) = computed(made, **images), computed(change.model, **images)
    np.testing.assert_allclose(after, before, atol=2e-5 * np.abs(before).max())


def test_it_saves_the_macs_of_the_enlarged_pixels() -> None:
    made = network(joined="none")
    change = convolve_before_resize(made, {})
    macs = [
        graph_cost(with_input_shape(one, (1, CHANNELS, *SMALL))).macs
        for one in (made, change.model)
    ]
    assert macs[0] == 24 * 20 * 9 * CHANNELS * OUT
    taps = 6 * 5 * 9 * CHANNELS * OUT
    # four bands an axis; of 5 columns' 3 taps the four bands of 5 pixels see 2 or 3 samples
    assert taps < macs[1] < taps + 6 * 20 * (5 * 3) * 3 * OUT + 24 * 20 * (6 * 3) * OUT


def test_interpolation_by_hand() -> None:
    # 4 pixels from 2 samples: shares 1 0, 3/4 1/4, 1/4 3/4, 0 1; taps look one pixel back and ahead
    taps = interpolation(2, 4, 3, "half_pixel").reshape(4, 2, 3) * 4
    np.testing.assert_array_equal(taps[:, :, 1], [[4, 0], [3, 1], [1, 3], [0, 4]])
    np.testing.assert_array_equal(taps[:, :, 0], [[0, 0], [4, 0], [3, 1], [1, 3]])
    np.testing.assert_array_equal(taps[:, :, 2], [[3, 1], [1, 3], [0, 4], [0, 0]])


@pytest.mark.parametrize(
    "given",
    [
        {"resize": {"mode": "nearest"}},
        {"resize": {"antialias": 1}},
        {"conv": {"strides": [2, 2]}},
        {"conv": {"dilations": [2, 2], "pads": [2] * 4}},
        {"conv": {"pads": [0] * 4}},
        {"size": (9, 8)},  # 2.4 times as many pixels
    ],
    ids=str,
)
def test_others_stay_as_they_are(given: dict[str, Any]) -> None:
    made = network(**given)
    change = convolve_before_resize(made, {})
    assert change.model == made
    assert change.summary == "0 convolutions before a Resize"


@pytest.mark.parametrize("tensor", ["up", "cat"])
def test_what_others_read_too_stays(tensor: str) -> None:
    made = network()
    made.graph.node.append(helper.make_node("Relu", [tensor], ["seen"], name="seen"))
    made.graph.output.append(helper.make_tensor_value_info("seen", TensorProto.FLOAT, None))
    assert convolve_before_resize(made, {}).model == made
    is_output = network()
    is_output.graph.output.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None))
    assert convolve_before_resize(is_output, {}).model == is_output
