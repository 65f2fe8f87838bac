import numpy as np
import pytest

from export.common.errors import UsageError
from quantize.calibration.histogram import Histogram
from quantize.calibration.statistics import Statistic
from quantize.calibration.tails import Tails
from quantize.ranges.ranges import U8, Grid
from quantize.ranges.table import RANGE_RULES, range_rule

S8 = Grid(symmetric=True, levels=254)
HISTOGRAM_RULES = ("percentile", "entropy", "mse")


def _seen(rule: str, images: list[np.ndarray]) -> Statistic:
    """What the rule's statistic is after these images."""
    statistic = range_rule(rule).statistic(len(images))
    for values in images:
        single = values.astype(np.float32).reshape(1, -1)
        extremes = (single.min(), single.max())
        statistic.update(*extremes, *([single] if isinstance(statistic, Histogram | Tails) else []))
    return statistic


def _range(rule: str, values: np.ndarray, grid: Grid = U8) -> tuple[float, float]:
    return range_rule(rule).range(_seen(rule, [values]), grid)


def test_minmax_is_the_smallest_and_largest_value() -> None:
    assert _range("minmax", np.array([-1.0, 4.0, 2.0])) == (-1.0, 4.0)


def test_minmax_reaches_further_where_asked() -> None:
    assert _range("minmax:2", np.array([-1.0, 4.0, 2.0])) == (-2.0, 8.0)
    assert _range("minmax:1.5", np.array([0.0, 4.0])) == (0.0, 6.0)


@pytest.mark.parametrize("percentile", [99.0, 99.9, 99.99])
def test_percentile_equals_numpy_quantiles_within_one_bin(percentile: float) -> None:
    values = np.random.default_rng(0).standard_normal(200_000) * 3 + 1
    low, high = _range(f"percentile:{percentile}", values)
    histogram = Histogram()
    histogram.update(values.min(), values.max(), values.astype(np.float32))
    tail = (100 - percentile) / 100
    assert low == pytest.approx(np.quantile(values, tail), abs=1.01 * histogram.width)
    assert high == pytest.approx(np.quantile(values, 1 - tail), abs=1.01 * histogram.width)


def test_moving_average_is_the_mean_of_each_images_extremes() -> None:
    images = [np.array([-1.0, 0.5]), np.array([-4.0, 1.0]), np.array([-1.0, 6.0])]
    assert range_rule("moving-average").range(_seen("moving-average", images)) == (-2.0, 2.5)


def _linear(seed: int = 0) -> np.ndarray:
    """Like a convolution's output: two-sided, lopsided, with long tails."""
    rng = np.random.default_rng(seed)
    return rng.standard_t(4, 200_000) * 0.8 + 0.7


def _relu6(seed: int = 0) -> np.ndarray:
    """Many values at 0, some at 6."""
    return np.clip(np.random.default_rng(seed).standard_normal(200_000) * 2 + 0.5, 0, 6)


def _relu(seed: int = 0) -> np.ndarray:
    """Many values at 0 and a long tail."""
    return np.maximum(_linear(seed), 0)


TENSORS = {"linear": _linear, "relu6": _relu6, "relu": _relu, "negative": lambda: -_relu()}
GRIDS = {"u8": U8, "s8": S8}


def test_mse_keeps_a_range_whose_values_are_all_on_the_grid() -> None:
    values = np.repeat(np.arange(256.0), 10)
    low, high = _range("mse", values)
    assert low == 0.0 and high == pytest.approx(255.0, rel=1e-2)


def _slow_divergence(counts: np.ndarray, start: int, end: int, groups: int) -> float:
    """KL divergence of one window as TensorRT's slides define it, bin by bin."""
    kept = counts[start:end]
    clipped = kept.copy()
    clipped[0] += counts[:start].sum()
    clipped[-1] += counts[end:].sum()
    averaged = np.zeros_like(clipped)
    for group in range(groups):
        inside = slice(group * len(kept) // groups, (group + 1) * len(kept) // groups)
        filled = clipped[inside] > 0
        if filled.any():
            share = max(kept[inside].sum() / max(kept.sum(), 1), 1e-9)
            averaged[inside] = np.where(filled, share / filled.sum(), 0)
    p = clipped / clipped.sum()
    used = p > 0
    return float((p[used] * np.log(p[used] / averaged[used])).sum())


@pytest.mark.parametrize(
    ("tensor", "grid"),
    [("linear", "u8"), ("linear", "s8"), ("relu6", "u8"), ("relu", "s8"), ("negative", "u8")],
)
def test_entropy_finds_the_least_divergence(tensor: str, grid: str) -> None:
    values = TENSORS[tensor]()
    seen = _seen("entropy", [values])
    assert isinstance(seen, Histogram)
    half, groups = seen.BINS // 2, GRIDS[grid].levels + 1
    counts = seen.counts.astype(np.float64)
    counts[half] = min(counts[half], max(counts[half - 1], counts[half + 1]))
    first, last = np.flatnonzero(counts)[[0, -1]]
    widest = max(last + 1 - half, half - first)

    def window(reach: int) -> tuple[int, int]:
        if GRIDS[grid].symmetric:
            return half - reach, half + reach
        return max(half - reach, min(first, half)), min(half + reach, max(last + 1, half))

    def divergence(reach: int) -> float:
        return _slow_divergence(counts, *window(reach), groups)

    low, high = range_rule("entropy").range(seen, GRIDS[grid])
    reaches = [reach for reach in [*range(8, widest, 8), widest] if np.ptp(window(reach)) >= groups]
    start, end = window(min(reaches, key=divergence))
    assert low == max(seen.edges[start], seen.extremes.low)
    assert high == min(seen.edges[end], seen.extremes.high)


def test_entropy_clips_a_stray_value() -> None:
    values = np.append(_relu6(), 60.0)
    low, high = _range("entropy", values)
    assert low == 0.0 and 4.0 < high < 12.0


@pytest.mark.parametrize("rule", RANGE_RULES)
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("values", [[0.0, 0.0], [3.0, 3.0], [-2.0, -2.0], [1e-30, 1e-30]])
def test_constant_tensors_have_a_range_too(rule: str, grid: str, values: list[float]) -> None:
    low, high = _range(rule, np.array(values), GRIDS[grid])
    reached = max(high, 0.0) if values[0] > 0 else min(low, 0.0)
    assert reached == pytest.approx(values[0], rel=0.01)


@pytest.mark.parametrize("rule", HISTOGRAM_RULES)
def test_a_value_that_the_subsample_missed_is_no_error(rule: str) -> None:
    seen = range_rule(rule).statistic(1)
    seen.update(0.0, 5.0, np.zeros((1, 100), np.float32))
    low, high = range_rule(rule).range(seen)
    assert low == pytest.approx(0.0, abs=1e-6) and low <= high <= 5.0


@pytest.mark.parametrize("rule", RANGE_RULES)
def test_ranges_do_not_depend_on_the_order_of_images(rule: str) -> None:
    images = [_linear(seed)[:5000] * scale for seed, scale in enumerate((0.01, 3.0, 1.0, 40.0))]
    expected = range_rule(rule).range(_seen(rule, images))
    for order in ([3, 2, 1, 0], [2, 0, 3, 1]):
        assert range_rule(rule).range(_seen(rule, [images[i] for i in order])) == expected


@pytest.mark.parametrize("rule", HISTOGRAM_RULES)
def test_ranges_do_not_depend_on_the_batch_size(rule: str) -> None:
    # an image that fills a batch of 3 is counted three times
    thrice = [np.tile(_linear(), 3)]
    assert range_rule(rule).range(_seen(rule, thrice)) == pytest.approx(_range(rule, _linear()))


def test_zero_points_are_those_of_onnxruntime() -> None:
    from onnxruntime.quantization.quant_utils import compute_scale_zp

    low, high = np.array([-1.3, 0.2, -5.0, -0.01]), np.array([2.9, 4.0, -1.0, 7.7])
    u8 = U8.scale_and_zero(low, high)
    s8 = S8.scale_and_zero(low, high)
    for index in range(len(low)):
        ends = np.float64(low[index]), np.float64(high[index])
        zero, scale = compute_scale_zp(*ends, np.int64(0), np.int64(255))
        assert (u8[0][index], u8[1][index]) == (pytest.approx(float(scale)), float(zero))
        zero, scale = compute_scale_zp(*ends, np.int64(-127), np.int64(127), symmetric=True)
        assert (s8[0][index], s8[1][index]) == (pytest.approx(float(scale)), float(zero) + 127)


@pytest.mark.parametrize(
    "rule",
    [
        "percentile:50",
        "percentile:101",
        "percentile:x",
        "mse:1",
        "entropy:128",
        "minmax:0.9",
        "minmax:17",
        "minmax:x",
        "minmax:nan",
        "minmax:inf",
    ],
)
def test_parameters_out_of_range_are_refused(rule: str) -> None:
    with pytest.raises(UsageError):
        range_rule(rule)
