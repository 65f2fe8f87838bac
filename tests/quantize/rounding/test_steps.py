"""Choosing the step of rows with one towering weight, judged by running the layer in torch."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper
from torch.nn import functional as F

from quantize.graph.insertion.fixed_scales import weight_scale
from quantize.graph.rounded_weight import RoundedWeight
from quantize.rounding import rounding
from quantize.rounding.moments import InputMoments
from quantize.rounding.rounding import round_weights
from quantize.rounding.settling import Settled
from quantize.rounding.steps import best_rows, candidate_scales
from quantize.rounding.windows import Window
from quantize.targets import TARGETS
from tests.export.build import constant, model, value

Floats = NDArray[np.float32]
CHANNELS, SIZE = 256, 24


def near_identity() -> Floats:
    """What the head of DeepLabV3+ holds: channel i to channel i, and small weights."""
    rng = np.random.default_rng(0)
    made = rng.normal(0, 0.02, (CHANNELS, CHANNELS, 3, 3))
    made[range(CHANNELS), range(CHANNELS), 1, 1] += 1
    return made.astype(np.float32)


def smooth(seed: int) -> Floats:
    """Maps that were upsampled four times, as those of ASPP: (8, channels, size, size)."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.randn(8, CHANNELS, SIZE // 4, SIZE // 4, generator=generator).relu()
    return F.interpolate(small, scale_factor=4, mode="bilinear").numpy()


def rounded(values: Floats, target: str) -> RoundedWeight:
    """Round the weight of a layer that has seen `smooth` maps."""
    made = model(
        [helper.make_node("Conv", ["input", "w"], ["logits"], name="head", pads=[1] * 4)],
        [value("input", (1, CHANNELS, SIZE, SIZE))],
        [value("logits", (1, CHANNELS, SIZE, SIZE))],
        [constant("w", values)],
    )
    window = Window(CHANNELS, 1, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1))
    moments = InputMoments(window)
    columns = F.unfold(torch.from_numpy(smooth(1)), 3, padding=1)
    moments.update(*columns.reshape(8, CHANNELS, 9, SIZE, SIZE).numpy().transpose(2, 0, 1, 3, 4))
    found = round_weights(made, {"head": moments}, TARGETS[target], "gptq")
    return found.weights["w"]


def output_error(values: Floats, target: str) -> float:
    """Variance that rounding adds to the output of the layer, on maps it was not fitted to."""
    one = rounded(values, target)
    error = one.integers * one.scale.reshape(-1, 1, 1, 1) - values
    changed = F.conv2d(torch.from_numpy(smooth(2)), torch.from_numpy(error), padding=1)
    return float(changed.var((0, 2, 3)).sum())


def test_a_smaller_step_keeps_a_layer_near_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    found = output_error(near_identity(), "cpu-avx2")
    monkeypatch.setattr(rounding, "candidate_scales", lambda values, scale: [scale])
    assert found < 0.8 * output_error(near_identity(), "cpu-avx2")  # measured: 0.73


def test_ordinary_weights_keep_their_scale() -> None:
    values = np.random.default_rng(0).normal(size=(8, 40, 3, 3)).astype(np.float32)
    scale = weight_scale(values, TARGETS["cpu"])
    (only,) = candidate_scales(values, scale)
    np.testing.assert_array_equal(only, scale)


def test_one_towering_row_is_enough_to_try_others() -> None:
    values = np.random.default_rng(0).normal(size=(8, 40, 3, 3)).astype(np.float32)
    values[5, 5, 1, 1] = 100  # root mean square 5.4
    scale = weight_scale(values, TARGETS["cpu"])
    first, *others = candidate_scales(values, scale)
    np.testing.assert_array_equal(first, scale)
    assert others
    assert all((one < scale).all() for one in others)
    assert len(candidate_scales(values * 0, scale)) == 1


def test_a_row_towers_over_itself_alone() -> None:
    values = np.full((1001, 64), 1e-6, np.float32)
    values[7] = np.tile([1, -1], 32)  # large, and even; of both signs, so that they add up to 0
    assert len(candidate_scales(values, np.ones(1001, np.float32))) == 1


def _settled(values: list[list[float]], cost: list[float]) -> Settled:
    rows = np.array(cost)
    return Settled(np.array(values), rows * 10, rows / 2, rows * 3, rows)


def test_every_row_takes_what_costs_least() -> None:
    scales = [np.array([1, 2], np.float32), np.array([0.5, 1], np.float32)]
    wide, narrow = _settled([[1], [2]], [4, 1]), _settled([[0.5], [3]], [2, 6])
    scale, best = best_rows(scales, [wide, narrow])
    np.testing.assert_array_equal(scale, [0.5, 2])
    np.testing.assert_array_equal(best.values, [[0.5], [2]])
    np.testing.assert_array_equal(best.shift, [20, 10])
    np.testing.assert_array_equal(best.error, [1, 0.5])
    np.testing.assert_array_equal(best.cost, [2, 1])
    # the gain is over rounding to nearest with the whole range: 12 + 3 against 1.5
    assert best.gain == pytest.approx(10)


def test_rows_of_one_scale_are_chosen_together() -> None:
    scales = [np.array([1], np.float32), np.array([0.5], np.float32)]
    wide, narrow = _settled([[1], [2]], [4, 1]), _settled([[0.5], [3]], [2, 6])
    scale, best = best_rows(scales, [wide, narrow])
    np.testing.assert_array_equal(scale, [1])
    np.testing.assert_array_equal(best.values, wide.values)
    cheaper = _settled([[0.5], [3]], [3, 1])
    scale, best = best_rows(scales, [wide, cheaper])
    np.testing.assert_array_equal(scale, [0.5])
    np.testing.assert_array_equal(best.values, cheaper.values)


def test_powers_of_two_stay_powers_of_two() -> None:
    values, target = near_identity(), TARGETS["npu-pow2"]
    scale = weight_scale(values, target)
    assert len(candidate_scales(values, scale)) > 1  # others would be tried
    np.testing.assert_array_equal(rounded(values, "npu-pow2").scale, scale)
