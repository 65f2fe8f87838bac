"""float16 rounding against PyTorch and numpy, subnormals and overflow included."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

from export.onnx_graph.graph import infer_shapes
from export.ort.fp16_emulation import emulate_fp16
from quantize.rounding.half import round_to_half
from quantize.rounding.rounding import input_moments
from tests.export.build import computed, constant, model, value

SMALLEST = 2.0**-24
"""The smallest subnormal of float16."""


def every_half() -> NDArray[np.float32]:
    """All finite values of float16."""
    found = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)
    return found[np.isfinite(found)]


def adversarial() -> NDArray[np.float32]:
    """All halves, the middles between them (ties), and the float32 values beside these."""
    halves = np.unique(every_half())
    middles = (halves[1:] / 2 + halves[:-1] / 2).astype(np.float32)
    beside = [np.nextafter(middles, np.float32(end)) for end in (-np.inf, np.inf)]
    ends = np.float32([65504, 65519.99, 65520, 65536, 1e30, np.inf, 2**-25, 1e-30, 1e-45])
    return np.concatenate([halves, middles, *beside, ends, -ends]).astype(np.float32)


def torchs(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return torch.from_numpy(values.copy()).half().float().numpy()


def test_the_emulation_rounds_as_torch_does() -> None:
    values = adversarial()
    half = TensorProto.FLOAT16
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=half, name="in"),
        helper.make_node("Identity", ["h"], ["same"], name="same"),
        helper.make_node("Cast", ["same"], ["y"], to=TensorProto.FLOAT, name="out"),
    ]
    graph = model(nodes, [value("x", (len(values),))], [value("y", (len(values),))])
    (found,) = computed(emulate_fp16(graph), x=values)
    np.testing.assert_array_equal(found, torchs(values))
    assert np.isinf(found[np.abs(values) >= 65520]).all()  # half of the last step and more
    assert np.isfinite(found[np.abs(values) < 65520]).all()


@pytest.mark.parametrize(("operator", "torchs_own"), [("Add", torch.add), ("Mul", torch.mul)])
def test_arithmetic_is_that_of_torchs_halves(operator: str, torchs_own: object) -> None:
    rng = np.random.default_rng(0)
    every = every_half()
    a, b = (rng.choice(every, 50_000).astype(np.float16) for _ in range(2))
    nodes = [
        helper.make_node(operator, ["a", "b"], ["c"], name="op"),
        helper.make_node("Cast", ["c"], ["y"], to=TensorProto.FLOAT, name="out"),
    ]
    inputs = [value(name, (len(a),), TensorProto.FLOAT16) for name in "ab"]
    graph = model(nodes, inputs, [value("y", (len(a),))])
    (found,) = computed(emulate_fp16(graph), a=a, b=b)
    assert callable(torchs_own)
    expected = torchs_own(torch.from_numpy(a), torch.from_numpy(b)).float().numpy()
    np.testing.assert_array_equal(found, expected)
    assert np.isinf(found).any() and (np.abs(found[found != 0]) < 2**-14).any()


@pytest.mark.parametrize("scale", [1.0, 1e-3, 3e-7, 1e4])
def test_rounded_weights_are_halves_and_no_row_is_worse_than_with_the_nearest(scale: float) -> None:
    """Large and subnormal ones; what they change is measured on the inputs themselves."""
    rng = np.random.default_rng(1)
    weights = (rng.uniform(-3, 3, (5, 6, 1, 1)) * scale).astype(np.float32)
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], name="conv")
    bias = rng.normal(size=5).astype(np.float32)
    made = model(
        [node], [value("x", (1, 6, 6, 6))], [value("y", (1, 5, 6, 6))],
        [constant("w", weights), constant("b", bias)],
    )  # fmt: skip
    (seen,) = input_moments(infer_shapes(made), list(made.graph.node)).values()
    images = rng.gamma(2, size=(20, 1, 6, 6, 6)).astype(np.float32)
    images[:, :, 1] = images[:, :, 0] + 0.1 * images[:, :, 2]  # so that errors can compensate
    for image in images:
        seen.update(image)
    rounded, gains = round_to_half(made, {"conv": seen})
    after = {t.name: numpy_helper.to_array(t) for t in rounded.graph.initializer}
    np.testing.assert_array_equal(after["w"], torchs(after["w"]))

    inputs = images.transpose(2, 0, 1, 3, 4).reshape(6, -1).astype(np.float64)
    exact, found, plain = (
        w.reshape(5, 6).astype(np.float64) @ inputs for w in (weights, after["w"], torchs(weights))
    )
    left, nearest = (found - exact).var(1), (plain - exact).var(1)
    assert (left <= nearest * (1 + 1e-3)).all()
    gain = 10 * np.log10(nearest.sum() / left.sum())
    assert gains["conv"] == pytest.approx(gain, abs=0.05)
    # the bias takes over what the rounding changes on average, as exactly as float32 holds it
    mean = (
        (found - exact).mean(1)
        + next(after[name] for name in rounded.graph.node[0].input[2:])
        - bias
    )
    assert np.abs(mean).max() <= 1e-4 * np.abs(plain - exact).max() + 2.0**-23 * np.abs(bias).max()


def test_constants_become_torchs_halves_but_none_becomes_zero() -> None:
    """What onnxruntime's converter does with constants that no calibration rounds.

    A divisor of 1e-12 must not become 0. Values beyond 65504 it cuts off: `quantize_fp16` leaves
    layers with such weights in float32.
    """
    values = adversarial()
    values = values[np.abs(values) <= 65504]
    node = helper.make_node("Add", ["x", "c"], ["y"], name="add")
    made = model(
        [node], [value("x", (len(values),))], [value("y", (len(values),))], [constant("c", values)]
    )
    converted = convert_float_to_float16(made, disable_shape_infer=True)
    tensor = next(t for t in converted.graph.initializer if t.data_type == TensorProto.FLOAT16)
    found = numpy_helper.to_array(tensor).astype(np.float32)
    tiny = (values != 0) & (np.abs(values) < SMALLEST)
    np.testing.assert_array_equal(found[~tiny], torchs(values[~tiny]))
    np.testing.assert_array_equal(found[tiny], np.copysign(np.float32(SMALLEST), values[tiny]))
