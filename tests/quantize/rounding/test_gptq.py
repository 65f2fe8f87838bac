"""GPTQ against nearest rounding, brute force, and the algorithm as its paper writes it."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from quantize.rounding.gptq import gptq

Floats = NDArray[np.float64]


def _problem(
    groups: int, rows: int, inputs: int, seed: int, largest: int = 127
) -> tuple[Floats, Floats, Floats]:
    """Weights, scales and strongly correlated inputs' covariance."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(groups, rows, inputs))
    scale = np.abs(weight).max(2) / largest
    mixing = rng.normal(size=(groups, inputs, inputs)) + 2 * rng.normal(size=(groups, inputs, 1))
    return weight, scale, mixing @ mixing.transpose(0, 2, 1)


def _nearest(weight: Floats, scale: Floats, largest: int) -> Floats:
    return np.clip(np.round(weight / scale[:, :, None]), -largest, largest)


def _error(weight: Floats, scale: Floats, covariance: Floats, integers: Floats) -> Floats:
    """Variance of each row's output error, (groups, rows)."""
    errors = weight - integers * scale[:, :, None]
    return np.einsum("grj,gjk,grk->gr", errors, covariance, errors)


def _as_published(weight: Floats, scale: Floats, hessian: Floats, largest: int) -> Floats:
    """Algorithm 1 of arXiv:2210.17323 with act-order, for one group.

    Damps by 1 % of the mean diagonal, inverts, takes the upper Cholesky factor of the inverse
    and spreads every error over the weights that are still to be rounded.
    """
    order = np.argsort(-np.diag(hessian), kind="stable")
    damped = hessian + 0.01 * np.diag(hessian).mean() * np.eye(len(hessian))
    upper = np.linalg.cholesky(np.linalg.inv(damped[np.ix_(order, order)])).T
    remaining = weight[:, order].copy()
    integers = np.zeros_like(remaining)
    for i in range(len(order)):
        integers[:, i] = np.clip(np.round(remaining[:, i] / scale), -largest, largest)
        error = (remaining[:, i] - integers[:, i] * scale) / upper[i, i]
        remaining[:, i:] -= np.outer(error, upper[i, i:])
    found = np.zeros_like(integers)
    found[:, order] = integers
    return found


@pytest.mark.parametrize("inputs", [1, 9, 40, 64, 65, 200])
def test_it_gives_the_integers_of_the_published_algorithm(inputs: int) -> None:
    weight, scale, covariance = _problem(3, 10, inputs, seed=inputs)
    found = gptq(weight, scale, covariance, 127)
    for group in range(3):
        expected = _as_published(weight[group], scale[group], covariance[group], 127)
        np.testing.assert_array_equal(found[group], expected)


def test_uncorrelated_inputs_are_rounded_to_nearest() -> None:
    weight, scale, _ = _problem(2, 8, 130, seed=0)
    found = gptq(weight, scale, np.stack([np.eye(130)] * 2), 127)
    np.testing.assert_array_equal(found, _nearest(weight, scale, 127))


def test_inputs_that_never_vary_are_rounded_to_nearest() -> None:
    weight, scale, _ = _problem(2, 8, 5, seed=0)
    found = gptq(weight, scale, np.zeros((2, 5, 5)), 127)
    np.testing.assert_array_equal(found, _nearest(weight, scale, 127))


def test_a_constant_input_among_others_is_no_trouble() -> None:
    weight, scale, covariance = _problem(1, 8, 6, seed=1)
    covariance[0, 2] = covariance[0, :, 2] = 0
    found = gptq(weight, scale, covariance, 127)
    np.testing.assert_array_equal(found[0, :, 2], _nearest(weight, scale, 127)[0, :, 2])
    rest = [0, 1, 3, 4, 5]
    without = gptq(weight[:, :, rest], scale, covariance[:, rest][:, :, rest] * 1.0, 127)
    # the mean diagonal, by which the covariance is damped, is 5/6 of that without the constant
    np.testing.assert_array_equal(found[:, :, rest], without)


@pytest.mark.parametrize("inputs", [2, 3, 4])
def test_it_is_near_the_best_of_all_roundings(inputs: int) -> None:
    """Brute force over the 6 ** inputs integers around each weight."""
    steps = np.array(list(itertools.product(range(-2, 4), repeat=inputs)), float)
    found_error = best_error = nearest_error = 0.0
    for seed in range(20):
        weight, scale, covariance = _problem(1, 6, inputs, seed, largest=7)
        normalised = covariance / np.trace(covariance[0])
        found = gptq(weight, scale, normalised, 7)
        found_error += _error(weight, scale, normalised, found).sum()
        nearest_error += _error(weight, scale, normalised, _nearest(weight, scale, 7)).sum()
        for row in range(6):
            low = np.floor(weight[0, row] / scale[0, row])
            candidates = np.clip(low + steps, -7, 7)
            errors = weight[0, row] - candidates * scale[0, row]
            costs = np.einsum("nj,jk,nk->n", errors, normalised[0], errors)
            best_error += costs.min()
    # 1 % of damping alone costs a little; rounding to nearest is 2 to 5 times the optimum here
    assert best_error <= found_error < 0.5 * (best_error + nearest_error)


def test_the_order_of_the_inputs_does_not_matter() -> None:
    weight, scale, covariance = _problem(2, 5, 70, seed=3)
    shuffled = np.random.default_rng(0).permutation(70)
    found = gptq(weight, scale, covariance, 127)
    other = gptq(weight[:, :, shuffled], scale, covariance[:, shuffled][:, :, shuffled], 127)
    np.testing.assert_array_equal(other, found[:, :, shuffled])


@pytest.mark.parametrize("largest", [127, 63, 7])
def test_integers_stay_in_range_and_use_all_of_it(largest: int) -> None:
    weight, scale, covariance = _problem(2, 20, 50, seed=5, largest=largest)
    found = gptq(weight, scale, covariance, largest)
    np.testing.assert_array_equal(found, np.round(found))
    assert found.max() == largest and found.min() == -largest


def test_weights_beyond_the_scale_are_clipped_and_made_up_for() -> None:
    # the second input is nearly the first; what clipping takes from one, the other gets
    covariance = np.array([[[1.0, 0.999], [0.999, 1.0]]])
    found = gptq(np.array([[[150.0, 20.0]]]), np.ones((1, 1)), covariance, 127)
    np.testing.assert_array_equal(found, [[[127, 43]]])


def test_weights_on_the_grid_stay_there() -> None:
    _, _, covariance = _problem(1, 4, 80, seed=7)
    integers = np.random.default_rng(0).integers(-127, 128, (1, 4, 80)).astype(float)
    scale = np.full((1, 4), 0.03)
    np.testing.assert_array_equal(gptq(integers * 0.03, scale, covariance, 127), integers)


def test_a_covariance_that_rounding_made_indefinite_is_damped_until_it_works() -> None:
    weight, scale, covariance = _problem(2, 3, 4, seed=0)
    covariance[1] -= 0.5 * np.trace(covariance[1]) * np.eye(4)
    assert np.linalg.eigvalsh(covariance[1]).min() < 0
    found = gptq(weight, scale, covariance, 127)
    assert np.isfinite(found).all() and np.abs(found).max() <= 127
    assert np.abs(found - weight / scale[:, :, None]).max() < 127
