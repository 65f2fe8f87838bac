import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.sessions import open_session, run
from quantize.statistics import Histogram, MinMax, PooledSum, Statistic


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
    return run(open_session(model.SerializeToString()), values)


def test_histogram_subsamples_positions_of_large_maps_but_no_channels() -> None:
    seen = Histogram()
    values = np.zeros((1, 5, 64, 66), np.float32)
    values[0, 4, 1, 1] = 3.0  # not on the grid of every 4th row and column
    values[0, 3, 4, 8] = 2.0  # on it
    seen.update(*_reduced(seen, values))
    assert seen.counts.sum() == 5 * 16 * 17
    half = Histogram.BINS // 2
    assert seen.counts[half + int(2.0 / seen.width)] == 1
    assert seen.extremes.high == 3.0  # extremes stay exact


def test_histogram_takes_small_maps_whole() -> None:
    seen = Histogram()
    assert seen.reduction("x", (1, 5, 63, 64)).outputs[-1] == "x"
    assert seen.reduction("x", (1, 5)).outputs[-1] == "x"


def test_pooled_sum_is_the_largest_sum_of_magnitudes() -> None:
    seen = PooledSum((2, 3))
    values = np.zeros((1, 2, 2, 2), np.float32)
    values[0, 0] = [[1, -1], [2, -2]]  # sums to 0, but passes through 6 if added unluckily
    values[0, 1] = 1.25
    seen.update(*_reduced(seen, values))
    assert seen.high == 6.0
