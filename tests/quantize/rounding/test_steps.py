"""Choosing the step of each row of weights, judged by running the layer in torch."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper
from torch.nn import functional as F

from quantize.graph.insertion.fixed_scales import weight_scale
from quantize.graph.rounded_weight import RoundedWeight
from quantize.rounding import rounding, steps
from quantize.rounding.moments import InputMoments
from quantize.rounding.rounding import round_weights
from quantize.rounding.steps import best_scale, step_factors
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
    groups = CHANNELS // values.shape[1]
    made = model(
        [
            helper.make_node(
                "Conv", ["input", "w"], ["logits"], name="head", pads=[1] * 4, group=groups
            )
        ],
        [value("input", (1, CHANNELS, SIZE, SIZE))],
        [value("logits", (1, CHANNELS, SIZE, SIZE))],
        [constant("w", values)],
    )
    window = Window(CHANNELS, groups, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1))
    moments = InputMoments(window)
    columns = F.unfold(torch.from_numpy(smooth(1)), 3, padding=1)
    moments.update(*columns.reshape(8, CHANNELS, 9, SIZE, SIZE).numpy().transpose(2, 0, 1, 3, 4))
    found = round_weights(made, {"head": moments}, TARGETS[target], "gptq")
    return found.weights["w"]


def output_error(values: Floats, target: str) -> float:
    """Variance that rounding adds to the output of the layer, on maps it was not fitted to."""
    one = rounded(values, target)
    groups = CHANNELS // values.shape[1]
    error = one.integers * one.scale.reshape(-1, 1, 1, 1) - values
    changed = F.conv2d(
        torch.from_numpy(smooth(2)), torch.from_numpy(error), padding=1, groups=groups
    )
    return float(changed.var((0, 2, 3)).sum())


def test_a_smaller_step_keeps_a_layer_near_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    found = output_error(near_identity(), "cpu-avx2")
    monkeypatch.setattr(rounding, "best_scale", lambda values, scale, cost: scale)
    assert found < 0.8 * output_error(near_identity(), "cpu-avx2")  # measured: 0.73


def test_steps_that_suit_nine_weights_lose_less(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(CHANNELS, 1, 3, 3)).astype(np.float32)
    found = output_error(values, "cpu")
    monkeypatch.setattr(rounding, "best_scale", lambda values, scale, cost: scale)
    assert found < 0.4 * output_error(values, "cpu")  # measured: 0.31


def spread(rows: int) -> Floats:
    """Weights of which none towers above the others of its row."""
    return np.random.default_rng(0).normal(size=(rows, 40, 3, 3)).astype(np.float32)


def test_one_towering_row_is_enough_to_try_steps_that_cut_it() -> None:
    values = spread(8)
    assert step_factors(values).min() > 0.8
    values[5, 5, 1, 1] = 100  # root mean square 5.4
    assert step_factors(values).min() < 0.4
    assert step_factors(values)[0] == 1
    assert step_factors(values * 0).min() > 0.8


def test_a_row_towers_over_itself_alone() -> None:
    values = np.full((1001, 80), 1e-6, np.float32)
    values[7] = np.tile([1, -1], 40)  # large, and even; of both signs, so that they add up to 0
    assert step_factors(values).min() > 0.8


@pytest.mark.parametrize("together", [1 << 18, 27 * 10, 1])
def test_every_row_takes_what_costs_least(monkeypatch: pytest.MonkeyPatch, together: int) -> None:
    """Whether all steps are tried at once, ten, or one after the other."""
    monkeypatch.setattr(steps, "_TOGETHER", together)
    values = np.random.default_rng(0).normal(size=(3, 1, 3, 3)).astype(np.float32)
    scale, tried = np.array([1, 2, 4], np.float32), step_factors(values)
    ideal = scale * [tried[7], tried[50], 1]

    def cost(tried: Floats, scales: Floats) -> NDArray[np.float64]:
        assert tried.size <= max(together, values.size)
        row = [int(np.flatnonzero((values == one).all((1, 2, 3)))[0]) for one in tried]
        return np.abs(scales.astype(np.float64) - ideal[row])

    np.testing.assert_allclose(best_scale(values, scale, cost), ideal, rtol=1e-6)


def test_rows_of_one_scale_are_chosen_together() -> None:
    values, scale = spread(3), np.array([10], np.float32)
    values[0, 0, 0, 0] = 100  # so that others are tried

    def cost(tried: Floats, scales: Floats) -> NDArray[np.float64]:
        """Two rows lose little by 8.4, and one loses more by anything but 10."""
        weight = np.where((tried == values[1]).all((1, 2, 3)), 3.0, 1.0)
        wanted = np.where((tried == values[1]).all((1, 2, 3)), 10, 8.4)
        return weight * np.abs(scales - wanted)

    np.testing.assert_allclose(best_scale(values, scale, cost), [10])


def test_powers_of_two_stay_powers_of_two() -> None:
    values, target = near_identity(), TARGETS["npu-pow2"]
    assert len(step_factors(values)) > 1  # others would be tried
    np.testing.assert_array_equal(rounded(values, "npu-pow2").scale, weight_scale(values, target))
