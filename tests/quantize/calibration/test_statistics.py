from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.ort.sessions import open_session, run
from quantize.calibration.channel_statistics import ChannelMinMax, ChannelMoments
from quantize.calibration.histogram import ENOUGH, Histogram, sampled, sampling_strides
from quantize.calibration.statistics import (
    MeanMinMax,
    MinMax,
    PooledSum,
    State,
    Statistic,
    Tensor,
)
from quantize.calibration.tails import Tails


def _activations(seed: int, scale: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (scale * rng.standard_normal((1, 3, 8, 8))).astype(np.float32)


def _feed(histogram: Histogram, values: np.ndarray) -> None:
    histogram.update(values.min(), values.max(), values)


def test_minmax_spans_all_images() -> None:
    seen = MinMax()
    seen.update(-2.0, 1.5)
    seen.update(0.0, 7.25)
    assert (seen.low, seen.high, seen.magnitude) == (-2.0, 7.25, 7.25)


def test_histogram_does_not_depend_on_the_order_of_images() -> None:
    # scales from 1e-3 to 1e4: bins must be merged many times in one order, never in another
    images = [_activations(seed, scale) for seed, scale in enumerate((1e-3, 1e4, 0.5, 20.0, 0.0))]
    forward, backward = Histogram(), Histogram()
    for image in images:
        _feed(forward, image)
    for image in reversed(images):
        _feed(backward, image)
    assert forward.width == backward.width
    np.testing.assert_array_equal(forward.counts, backward.counts)


def test_histogram_counts_what_numpy_counts() -> None:
    images = [_activations(seed, seed + 1.0) for seed in range(4)]
    seen = Histogram()
    for image in images:
        _feed(seen, image)
    expected, _ = np.histogram(np.stack(images).astype(np.float64), seen.edges)
    np.testing.assert_array_equal(seen.counts, expected)


@pytest.mark.parametrize("largest", [3e-6, 1.0, 5.9, 4096.0, 9e4])
def test_histogram_resolves_the_range_finely(largest: float) -> None:
    seen = Histogram()
    _feed(seen, np.array([[0.0, largest]], np.float32))
    # the stated 2048 to 4096 bins between 0 and the largest magnitude
    assert 2048 <= np.float32(largest) / seen.width <= 4096
    assert seen.counts.sum() == 2


def test_histogram_takes_an_all_zero_tensor_first() -> None:
    seen = Histogram()
    _feed(seen, np.zeros((1, 2, 4, 4), np.float32))
    _feed(seen, np.full((1, 2, 4, 4), 2.5, np.float32))
    half = Histogram.BINS // 2
    assert seen.counts[half] == 32  # the zeros, still in the bin that starts at 0
    assert seen.counts[half + int(2.5 / seen.width)] == 32


def _reduced(statistic: Statistic, values: np.ndarray, signed: bool = True) -> list[np.ndarray]:
    """Run a statistic's own nodes on a tensor `x`."""
    reduction = statistic.reduction(Tensor("x", values.shape, signed))
    graph = helper.make_graph(
        reduction.nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, values.shape)],
        [onnx.ValueInfoProto(name=name) for name in reduction.outputs if name != "x"],
        [numpy_helper.from_array(value, name) for name, value in reduction.constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    given = [value.name for value in graph.output]
    found = dict(zip(given, run(open_session(model.SerializeToString()), values), strict=True))
    return [(found | {"x": values})[name] for name in reduction.outputs]


def test_histogram_subsamples_positions_of_large_tensors_but_no_channels() -> None:
    seen = Histogram()
    values = np.zeros((1, 48, 256, 256), np.float32)  # six times what is enough: every fifth column
    values[0, 5, 0, 1] = 3.0  # not counted
    values[0, 6, 0, 5] = 1.0  # counted
    values[0, 7, 255, 250] = 2.0
    seen.update(*_reduced(seen, values))
    counted = 48 * 256 * 52
    half = Histogram.BINS // 2
    assert seen.counts.sum() == counted
    assert [seen.counts[half + int(v / seen.width)] for v in (0, 1, 2, 3)] == [counted - 2, 1, 1, 0]
    assert seen.extremes.high == 3.0  # extremes stay exact


@pytest.mark.parametrize("channels", [1, 8, 96, 960])
@pytest.mark.parametrize("side", [33, 130, 258, 1025])
def test_the_subsample_is_dense_even_and_large(channels: int, side: int) -> None:
    rows, columns = sampling_strides((1, channels, side, side), ENOUGH)
    assert rows * columns <= 16  # at least 1/16 of the positions
    # odd: whatever power of two a map was upsampled by, all phases are seen
    assert rows % 2 == columns % 2 == 1
    counted = channels * -(-side // rows) * -(-side // columns)
    assert counted >= min(ENOUGH, channels * side * side)


def test_the_subsample_grows_with_the_tensor() -> None:
    steps = [np.prod(sampling_strides((1, n, 512, 512), ENOUGH)) for n in range(1, 40)]
    assert steps == sorted(steps) and steps[0] == 1 and steps[-1] == 15


@pytest.mark.parametrize("shape", [(1, 32, 128, 128), (1, 2**22), (1, 64, None, None)])
def test_tensors_that_are_small_or_no_maps_are_taken_whole(shape: tuple[int | None, ...]) -> None:
    assert sampled(Tensor("x", shape), ENOUGH).outputs == ["x"]


def test_what_cannot_be_negative_has_a_lowest_value_of_zero() -> None:
    seen = MinMax()
    values = np.abs(_activations(0, 1.0)) + 0.5
    seen.update(*_reduced(seen, values, signed=False))
    assert (seen.low, seen.high) == (0.0, float(values.max()))


SHARE = 1e-3


def _tails(images: list[np.ndarray]) -> Tails:
    seen = Tails(SHARE, len(images))
    for image in images:
        seen.update(*_reduced(seen, image))
    return seen


def _skewed(seed: int, scale: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (scale * (rng.standard_t(3, (1, 8, 50, 50)) + 0.4)).astype(np.float32)


@pytest.mark.parametrize("scales", [(1, 1, 1, 1, 1), (0.1, 0.2, 5, 1, 3), (9, 1, 1, 0.1, 0.1)])
def test_tails_count_every_value_that_may_be_left_out(scales: tuple[float, ...]) -> None:
    images = [_skewed(seed, scale) for seed, scale in enumerate(scales)]
    full = Histogram()
    for image in images:
        full.update(*_reduced(full, image))
    seen = _tails(images)
    found = seen.histogram()
    assert found.width == full.width
    assert found.counts.sum() == seen.total == 5 * 8 * 50 * 50
    outside = int(SHARE * seen.total)
    top = np.flatnonzero(np.cumsum(full.counts[::-1])[::-1] > outside)[-1]
    bottom = np.flatnonzero(np.cumsum(full.counts) > outside)[0]
    np.testing.assert_array_equal(found.counts[top:], full.counts[top:])
    np.testing.assert_array_equal(found.counts[: bottom + 1], full.counts[: bottom + 1])


def test_tails_look_at_few_values_once_they_know_where_the_ends_are() -> None:
    images = [_skewed(seed) for seed in range(5)]
    seen = _tails(images)
    binned = seen.state()["counts"].sum()
    assert binned < 1.2 * images[0].size  # the first image, and of the others the ends


def test_tails_of_positive_values_are_those_at_the_top() -> None:
    images = [np.abs(_skewed(seed)) for seed in range(5)]
    seen = _tails(images)
    half = Histogram.BINS // 2
    assert seen.histogram().counts[half:].sum() == seen.total
    assert seen.state()["counts"].sum() < 1.2 * images[0].size


def _images(shape: tuple[int, ...], count: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [(rng.standard_normal(shape) * 3 + 1).astype(np.float32) for _ in range(count)]


@pytest.mark.parametrize("shape", [(1, 4, 9, 7), (2, 4, 5, 5), (1, 6, 11), (1, 2, 3, 4, 5, 2)])
def test_channel_minmax_is_exact(shape: tuple[int, ...]) -> None:
    seen, images = ChannelMinMax(), _images(shape)
    for image in images:
        seen.update(*_reduced(seen, image))
    channels = np.moveaxis(np.concatenate(images), 1, 0).reshape(shape[1], -1)
    np.testing.assert_array_equal(seen.low, channels.min(1))
    np.testing.assert_array_equal(seen.high, channels.max(1))
    assert seen.low.dtype == np.float32


@pytest.mark.parametrize("shape", [(1, 4, 9, 7), (2, 4, 5, 5), (1, 6, 11), (1, 2, 3, 4, 5, 2)])
def test_channel_moments_are_numpys(shape: tuple[int, ...]) -> None:
    seen, images = ChannelMoments(), _images(shape)
    for image in images:
        seen.update(*_reduced(seen, image))
    channels = np.moveaxis(np.concatenate(images), 1, 0).reshape(shape[1], -1).astype(np.float64)
    np.testing.assert_allclose(seen.mean, channels.mean(1), rtol=1e-5)
    np.testing.assert_allclose(seen.mean_square, (channels**2).mean(1), rtol=1e-5)
    assert seen.mean.dtype == np.float64


@pytest.mark.parametrize("shape", [(1, 4, 9, 7), (3, 5), (1, 6, 11), (1, 2, 3, 4, 5, 2)])
def test_extremes_are_exact_whatever_the_rank(shape: tuple[int, ...]) -> None:
    seen, mean, images = MinMax(), MeanMinMax(), _images(shape)
    for image in images:
        seen.update(*_reduced(seen, image))
        mean.update(*_reduced(mean, image))
    assert (seen.low, seen.high) == (np.min(images), np.max(images))
    assert mean.low == pytest.approx(np.mean([image.min() for image in images]))
    assert mean.high == pytest.approx(np.mean([image.max() for image in images]))


KINDS: tuple[Callable[[], Statistic], ...] = (
    MinMax,
    MeanMinMax,
    Histogram,
    lambda: Tails(SHARE, 3),
    ChannelMinMax,
    ChannelMoments,
    lambda: PooledSum((2, 3)),
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_restored_statistic_is_what_it_was_and_goes_on(kind: Callable[[], Statistic]) -> None:
    *first, last = _images((1, 4, 9, 7))
    seen = kind()
    for image in first:
        seen.update(*_reduced(seen, image))
    state = {name: array.copy() for name, array in seen.state().items()}
    other = kind()
    assert other.key == seen.key
    assert other.state().keys() == state.keys()  # also before anything was collected
    other.restore(state)
    _assert_equal(other.state(), state)
    for statistic in (seen, other):
        statistic.update(*_reduced(statistic, 2 * last))
    _assert_equal(other.state(), seen.state())
    assert any(not np.array_equal(seen.state()[name], state[name]) for name in state)


def _assert_equal(found: State, expected: State) -> None:
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_keys_tell_statistics_of_other_parameters_apart() -> None:
    others = PooledSum((1,)), Tails(SHARE, 4), Tails(SHARE / 2, 3)
    keys = [one.key for one in [*(kind() for kind in KINDS), *others]]
    assert len(set(keys)) == len(keys)


def test_pooled_sum_is_the_largest_sum_of_magnitudes() -> None:
    seen = PooledSum((2, 3))
    values = np.zeros((1, 2, 2, 2), np.float32)
    values[0, 0] = [[1, -1], [2, -2]]  # sums to 0, but passes through 6 if added unluckily
    values[0, 1] = 1.25
    seen.update(*_reduced(seen, values))
    assert seen.high == 6.0
