from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.sessions import open_session, run
from quantize.channel_statistics import ChannelMinMax, ChannelMoments
from quantize.histogram import ENOUGH, Histogram, sampling_step
from quantize.statistics import (
    MeanMinMax,
    MinMax,
    PooledSum,
    State,
    Statistic,
)


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


def _reduced(statistic: Statistic, values: np.ndarray) -> list[np.ndarray]:
    """Run a statistic's own nodes on a tensor `x`."""
    reduction = statistic.reduction("x", values.shape)
    graph = helper.make_graph(
        reduction.nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, values.shape)],
        [onnx.ValueInfoProto(name=name) for name in reduction.outputs if name != "x"],
        [
            numpy_helper.from_array(np.asarray(numbers, np.int64), name)
            for name, numbers in reduction.constants.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    given = [value.name for value in graph.output]
    found = dict(zip(given, run(open_session(model.SerializeToString()), values), strict=True))
    return [(found | {"x": values})[name] for name in reduction.outputs]


def test_histogram_subsamples_positions_of_large_tensors_but_no_channels() -> None:
    seen = Histogram()
    shape = (1, 48, 256, 256)  # six times what is enough, and 5 has no divisor in common with 256
    values = np.zeros(shape, np.float32)
    values[0, 5, 0, 1] = 3.0  # not counted
    values[0, 6, 0, 5] = 1.0  # counted, as position 5 ...
    values[0, 7, 2, 3] = 2.0  # ... and 515
    seen.update(*_reduced(seen, values))
    counted = 48 * -(-(256 * 256) // 5)
    half = Histogram.BINS // 2
    assert seen.counts.sum() == counted
    assert [seen.counts[half + int(v / seen.width)] for v in (0, 1, 2, 3)] == [counted - 2, 1, 1, 0]
    assert seen.extremes.high == 3.0  # extremes stay exact


@pytest.mark.parametrize(
    "shape",
    [(1, 32, 256, 256), (1, 96, 258, 258), (1, 960, 36, 36), (1, 9, 910, 910), (1, 64, 99999)],
)
def test_the_subsample_is_dense_even_and_large(shape: tuple[int, ...]) -> None:
    step = sampling_step(shape)
    positions = np.arange(0, np.prod(shape[2:]), step)
    assert 1 <= step <= 16  # at least 1/16 of the positions
    assert shape[1] * len(positions) >= ENOUGH
    if len(shape) == 4:
        rows, columns = np.divmod(positions, shape[-1])
        assert len(np.unique(columns)) == shape[-1]  # no column is left out
        per_row = np.bincount(rows, minlength=shape[2])
        assert per_row.min() >= shape[3] // step  # nor part of a row


def test_histogram_takes_small_tensors_whole() -> None:
    seen = Histogram()
    assert seen.reduction("x", (1, 32, 128, 128)).outputs[-1] == "x"
    assert seen.reduction("x", (1, 2**22)).outputs[-1] == "x"
    assert seen.reduction("x", (1, 64, None, None)).outputs[-1] == "x"


def _images(shape: tuple[int, ...], count: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [(rng.standard_normal(shape) * 3 + 1).astype(np.float32) for _ in range(count)]


@pytest.mark.parametrize("shape", [(1, 4, 9, 7), (2, 4, 5, 5), (1, 6, 11)])
def test_channel_minmax_is_exact(shape: tuple[int, ...]) -> None:
    seen, images = ChannelMinMax(), _images(shape)
    for image in images:
        seen.update(*_reduced(seen, image))
    channels = np.moveaxis(np.concatenate(images), 1, 0).reshape(shape[1], -1)
    np.testing.assert_array_equal(seen.low, channels.min(1))
    np.testing.assert_array_equal(seen.high, channels.max(1))
    assert seen.low.dtype == np.float32


@pytest.mark.parametrize("shape", [(1, 4, 9, 7), (2, 4, 5, 5), (1, 6, 11)])
def test_channel_moments_are_numpys(shape: tuple[int, ...]) -> None:
    seen, images = ChannelMoments(), _images(shape)
    for image in images:
        seen.update(*_reduced(seen, image))
    channels = np.moveaxis(np.concatenate(images), 1, 0).reshape(shape[1], -1).astype(np.float64)
    np.testing.assert_allclose(seen.mean, channels.mean(1), rtol=1e-5)
    np.testing.assert_allclose(seen.mean_square, (channels**2).mean(1), rtol=1e-5)
    assert seen.mean.dtype == np.float64


@pytest.mark.parametrize("shape", [(1, 4, 9, 7), (3, 5), (1, 6, 11)])
def test_extremes_are_exact_whatever_the_rank(shape: tuple[int, ...]) -> None:
    seen, mean, images = MinMax(), MeanMinMax(), _images(shape)
    for image in images:
        seen.update(*_reduced(seen, image))
        mean.update(*_reduced(mean, image))
    assert (seen.low, seen.high) == (np.min(images), np.max(images))
    assert mean.low == pytest.approx(np.mean([image.min() for image in images]))
    assert mean.high == pytest.approx(np.mean([image.max() for image in images]))


KINDS = (MinMax, MeanMinMax, Histogram, ChannelMinMax, ChannelMoments, lambda: PooledSum((2, 3)))


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
    keys = [kind().key for kind in KINDS] + [PooledSum((1,)).key]
    assert len(set(keys)) == len(keys)


def test_pooled_sum_is_the_largest_sum_of_magnitudes() -> None:
    seen = PooledSum((2, 3))
    values = np.zeros((1, 2, 2, 2), np.float32)
    values[0, 0] = [[1, -1], [2, -2]]  # sums to 0, but passes through 6 if added unluckily
    values[0, 1] = 1.25
    seen.update(*_reduced(seen, values))
    assert seen.high == 6.0
