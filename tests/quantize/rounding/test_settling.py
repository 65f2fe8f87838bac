"""Which candidate each row takes, and what is said of it, against the layer's own inputs."""

import numpy as np
import pytest
from numpy.typing import NDArray

from quantize.rounding import moments as moments_module
from quantize.rounding import settling
from quantize.rounding.moments import InputMoments
from quantize.rounding.settling import Settled, costs, settle
from quantize.rounding.windows import Window

Floats = NDArray[np.float64]
GROUPS, ROWS, INPUTS = 3, 4, 2
STEPS = (0.5, 0.25, 0.125, 0.4, 0.3, 0.2)
"""Of the other candidate, by group (and block)."""
UNSEEN = 0.05


@pytest.fixture(params=[1 << 22, 8, 1])
def together(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All groups are looked at together, some, or each alone."""
    monkeypatch.setattr(settling, "_TOGETHER", request.param)


@pytest.fixture(params=[1, INPUTS])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, together: None) -> int:
    """Blocks of a row's inputs; errors in one do not make up for those in another."""
    monkeypatch.setattr(moments_module, "LARGEST", INPUTS // request.param)
    return int(request.param)


def layer() -> tuple[NDArray[np.float32], Floats]:
    """A weight (rows of all groups, inputs, 1, 1) and inputs (groups, inputs, positions)."""
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 1, (GROUPS * ROWS, INPUTS, 1, 1)).astype(np.float32)
    seen = rng.gamma(2, 1, (8, GROUPS * INPUTS, 6, 6)).astype(np.float32)
    seen[:, 1::2] += seen[:, ::2]  # so that errors can make up for one another
    return weight, seen.transpose(1, 0, 2, 3).reshape(GROUPS, INPUTS, -1).astype(np.float64)


def moments_of(inputs: Floats) -> InputMoments:
    moments = InputMoments(Window(GROUPS * INPUTS, GROUPS, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0)))
    moments.update(inputs.reshape(1, GROUPS * INPUTS, 16, -1).astype(np.float32))
    return moments


def settled(weight: NDArray[np.float32], inputs: Floats) -> Settled:
    steps = np.array(STEPS)

    def choose(values: Floats, covariance: Floats, part: slice) -> tuple[Floats, Floats]:
        assert len(values) == len(covariance) == part.stop - part.start
        step = steps[part][:, None, None]
        return np.floor(values / step) * step, np.rint(values)

    return settle(weight, moments_of(inputs), choose)


def test_each_row_takes_the_better_candidate(blocks: int) -> None:
    weight, inputs = layer()
    found = settled(weight, inputs)

    assert found.values.shape == weight.shape
    others = 0
    for row in range(GROUPS * ROWS):
        seen = np.split(inputs[row // ROWS], blocks)
        wanted = np.split(weight[row].reshape(-1).astype(np.float64), blocks)
        taken, error, nearest, shift = [], 0.0, 0.0, 0.0
        for block, (one, values) in enumerate(zip(seen, wanted, strict=True)):
            step = STEPS[row // ROWS * blocks + block]
            candidates = [np.floor(values / step) * step, np.rint(values)]
            variances = [((values - c) @ one).var() for c in candidates]
            better = int(variances[0] >= variances[1])
            others += better == 0
            lost = values - candidates[better]
            taken.append(candidates[better])
            error += variances[better]
            nearest += variances[1]
            shift += (lost @ one).mean()
        np.testing.assert_array_equal(found.values[row].reshape(-1), np.concatenate(taken))
        assert found.error[row] == pytest.approx(error, rel=1e-4)
        assert found.nearest[row] == pytest.approx(nearest, rel=1e-4)
        assert found.shift[row] == pytest.approx(shift, rel=1e-4, abs=1e-6)
    assert 0 < others < GROUPS * ROWS * blocks  # either is taken somewhere
    gain = 10 * np.log10(found.nearest.sum() / found.error.sum())
    assert found.gain == pytest.approx(gain) and gain > 1


def test_what_a_rounding_costs_holds_noise_in_every_input(blocks: int) -> None:
    weight, inputs = layer()
    found = costs(weight, moments_of(inputs), lambda values, covariance, part: np.floor(values))
    for row in range(GROUPS * ROWS):
        lost = np.split(weight[row].reshape(-1) - np.floor(weight[row].reshape(-1)), blocks)
        expected = sum(
            (wrong @ one).var() + UNSEEN * one.var(1).mean() * (wrong**2).sum()
            for wrong, one in zip(lost, np.split(inputs[row // ROWS], blocks), strict=True)
        )
        assert found[row] == pytest.approx(expected, rel=1e-4)


def test_of_equally_good_candidates_the_nearest_is_taken() -> None:
    """A constant input: no rounding changes the variance of what comes out."""
    weight, inputs = layer()
    inputs[:] = 1.0
    found = settled(weight, inputs)
    np.testing.assert_array_equal(found.values, np.rint(weight))
    np.testing.assert_allclose(found.shift, (weight - np.rint(weight)).sum((1, 2, 3)), atol=1e-6)
    assert found.gain == 0


def _facts(error: float, nearest: float) -> Settled:
    return Settled(np.zeros((1, 1)), np.zeros(1), np.array([error]), np.array([nearest]))


def test_the_gain_is_in_decibels_and_none_without_an_error() -> None:
    assert _facts(1.0, 10.0).gain == pytest.approx(10)
    assert _facts(2.0, 1.0).gain == pytest.approx(-3.0103, abs=1e-4)
    assert _facts(0.0, 1.0).gain == _facts(0.0, 0.0).gain == 0
