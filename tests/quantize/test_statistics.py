import numpy as np
import pytest

from quantize.statistics import Histogram, MinMax, PooledSum


def _activations(seed: int, scale: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (scale * rng.standard_normal((1, 3, 8, 8))).astype(np.float32)


def test_minmax_is_exact_and_reports_nan_and_inf() -> None:
    seen = MinMax()
    seen.update(np.array([[1.5, -2.0]], np.float32))
    seen.update(np.array([[0.0, 7.25]], np.float32))
    assert (seen.low, seen.high, seen.magnitude, seen.finite) == (-2.0, 7.25, 7.25, True)
    for bad in (np.nan, np.inf, -np.inf):
        broken = MinMax()
        broken.update(np.array([[1.0, bad]], np.float32))
        broken.update(np.array([[1.0, 2.0]], np.float32))  # later images do not hide it
        assert not broken.finite


def test_histogram_does_not_depend_on_the_order_of_images() -> None:
    # scales from 1e-3 to 1e4: bins must be merged many times in one order, never in another
    images = [_activations(seed, scale) for seed, scale in enumerate((1e-3, 1e4, 0.5, 20.0, 0.0))]
    forward, backward = Histogram(), Histogram()
    for image in images:
        forward.update(image)
    for image in reversed(images):
        backward.update(image)
    assert forward.width == backward.width
    np.testing.assert_array_equal(forward.counts, backward.counts)


def test_histogram_counts_what_numpy_counts() -> None:
    images = [_activations(seed, seed + 1.0) for seed in range(4)]
    seen = Histogram()
    for image in images:
        seen.update(image)
    expected, _ = np.histogram(np.stack(images).astype(np.float64), seen.edges)
    np.testing.assert_array_equal(seen.counts, expected)


@pytest.mark.parametrize("largest", [3e-6, 1.0, 5.9, 4096.0, 9e4])
def test_histogram_resolves_the_range_finely(largest: float) -> None:
    seen = Histogram()
    seen.update(np.array([[0.0, largest]], np.float32))
    # the stated 2048 to 4096 bins between 0 and the largest magnitude
    assert 2048 <= np.float32(largest) / seen.width <= 4096
    assert seen.counts.sum() == 2


def test_histogram_takes_an_all_zero_tensor_first() -> None:
    seen = Histogram()
    seen.update(np.zeros((1, 2, 4, 4), np.float32))
    seen.update(np.full((1, 2, 4, 4), 2.5, np.float32))
    half = Histogram.BINS // 2
    assert seen.counts[half] == 32  # the zeros, still in the bin that starts at 0
    assert seen.counts[half + int(2.5 / seen.width)] == 32


def test_histogram_subsamples_positions_of_large_maps_but_no_channels() -> None:
    seen = Histogram()
    values = np.zeros((1, 5, 64, 64), np.float32)
    values[0, 4, 1, 1] = 3.0  # not on the grid of every 4th row and column
    seen.update(values)
    assert seen.counts.sum() == 5 * 16 * 16
    assert seen.extremes.high == 3.0  # extremes stay exact


def test_pooled_sum_is_the_largest_sum_of_magnitudes() -> None:
    seen = PooledSum((2, 3))
    values = np.zeros((1, 2, 2, 2), np.float32)
    values[0, 0] = [[1, -1], [2, -2]]  # sums to 0, but passes through 6 if added unluckily
    values[0, 1] = 1.25
    seen.update(values)
    assert seen.high == 6.0
