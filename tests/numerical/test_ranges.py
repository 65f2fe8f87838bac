"""Range rules on random and adversarial tensors, against their definitions."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from export.common.errors import UsageError
from quantize.calibration.histogram import Histogram
from quantize.ranges.entropy import _divergences
from quantize.ranges.mse import _square_errors
from quantize.ranges.ranges import U8, Grid
from quantize.ranges.table import RANGE_RULES, range_rule
from tests.numerical.sizes import cases

stats = pytest.importorskip("scipy.stats")
Floats = NDArray[np.float32]
GRIDS = {"u8": U8, "s8": Grid(symmetric=True, levels=254), "u4": Grid(levels=15)}


def tensor(seed: int) -> Floats:
    """Normal, skewed, all of one sign, few values, nearly constant, with outliers, lopsided."""
    rng = np.random.default_rng(seed)
    made = [
        lambda: rng.normal(size=4000),
        lambda: rng.lognormal(sigma=1.5, size=4000),
        lambda: -rng.gamma(0.5, size=4000),
        lambda: rng.integers(-3, 4, 4000),
        lambda: 5 + 1e-3 * rng.normal(size=4000),
        lambda: np.append(rng.normal(size=4000), [300, -7]),
        lambda: np.maximum(rng.normal(size=4000), 0),
        lambda: np.append(rng.uniform(-1, 0, 4000), [3]),
    ][seed % 8]()
    return np.asarray(made * 10.0 ** rng.integers(-5, 6), np.float32)


def seen(rule: str, values: Floats) -> object:
    statistic = range_rule(rule).statistic(1)
    picked = [values.reshape(1, -1)] if hasattr(statistic, "counts") or rule[0] == "p" else []
    statistic.update(values.min(), values.max(), *picked)
    return statistic


def found(rule: str, values: Floats, grid: Grid = U8) -> tuple[float, float]:
    return range_rule(rule).range(seen(rule, values), grid)  # type: ignore[arg-type]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("seed", cases(16))
def test_square_errors_are_those_of_rounding_values(seed: int, grid: str) -> None:
    """The histogram takes values for even within a bin; so are these."""
    histogram = seen("mse", tensor(seed))
    assert isinstance(histogram, Histogram)
    filled = np.flatnonzero(histogram.counts)
    parts = (np.arange(64) + 0.5) / 64
    values = (histogram.edges[filled, None] + parts * histogram.width).ravel()
    weights = np.repeat(histogram.counts[filled], 64) / 64
    low = np.array([values.min(), values.min() / 3, 0.0, values.min()])
    high = np.array([values.max(), values.max() / 2, values.max() / 30, 2 * values.max()])
    low, high = np.minimum(low, 0), np.maximum(high, 1e-9 * np.abs(values).max())
    errors = _square_errors(histogram, GRIDS[grid], low, high)
    scale, zero = GRIDS[grid].scale_and_zero(low, high)
    for one in range(len(low)):
        integers = np.clip(np.round(values / scale[one] + zero[one]), 0, GRIDS[grid].levels)
        rounded = (integers - zero[one]) * scale[one]
        expected = np.average((rounded - values) ** 2, weights=weights)
        size = np.average(values**2, weights=weights)
        assert errors[one] == pytest.approx(expected, rel=0.02, abs=1e-9 * size)


@pytest.mark.parametrize("groups", [16, 255, 256])
@pytest.mark.parametrize("seed", cases(10))
def test_divergences_are_scipys(seed: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(0.3, 30, 2048)).astype(float)
    counts[rng.random(2048) < 0.3] = 0
    start = rng.integers(0, 700, 5)
    end = start + rng.integers(groups, 1300, 5)
    divergences = _divergences(counts, start, end, groups)
    for one in range(5):
        kept = counts[start[one] : end[one]]
        p = kept.copy()
        p[0] += counts[: start[one]].sum()
        p[-1] += counts[end[one] :].sum()
        q = np.zeros_like(p)
        bounds = np.arange(groups + 1) * len(p) // groups
        for first, last in pairwise(bounds):
            there = p[first:last] > 0
            share = max(kept[first:last].sum() / max(kept.sum(), 1), 1e-9)
            q[first:last] = there * share / max(there.sum(), 1)
        used = p > 0
        # scipy makes both sum to 1; q does already, but for the 1e-9 of empty places
        expected = stats.entropy(p[used], q[used]) - np.log(q[used].sum())
        assert divergences[one] == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("grid", ["u8", "s8"])
def test_entropy_keeps_as_many_bins_as_the_grid_has_integers(grid: str) -> None:
    """Fewer could be kept exactly, whatever is clipped: here all but five values lie in sixteen."""
    rng = np.random.default_rng(0)
    values = np.append(rng.normal(size=5000) * 1e-3, [1, -1, 0.5, 0.7, -0.3]).astype(np.float32)
    histogram = seen("entropy", values)
    assert isinstance(histogram, Histogram)
    low, high = found("entropy", values, GRIDS[grid])
    assert high - low >= (GRIDS[grid].levels + 1) * histogram.width * (1 - 1e-6)


@pytest.mark.parametrize("rule", ["percentile:99", "percentile:90", "percentile:50.5"])
@pytest.mark.parametrize("seed", cases(16))
def test_percentiles_leave_out_their_share(seed: int, rule: str) -> None:
    values = tensor(seed)
    low, high = found(rule, values)
    share = 1 - float(rule.partition(":")[2]) / 100
    width = (values.max() - min(values.min(), 0)) / 500 + np.abs(values).max() / 1000
    for end, quantile in ((low, share), (high, 1 - share)):
        around = np.quantile(values, [max(quantile - 1e-3, 0), min(quantile + 1e-3, 1)])
        assert around[0] - width <= end <= around[1] + width
    assert values.min() <= low <= high <= values.max()


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("rule", RANGE_RULES)
@pytest.mark.parametrize("seed", cases(8))
def test_a_rescaled_tensor_has_a_rescaled_range(seed: int, rule: str, grid: str) -> None:
    """By a power of two, which changes no digit."""
    values = tensor(seed)
    low, high = found(rule, values, GRIDS[grid])
    assert found(rule, values * np.float32(0.25), GRIDS[grid]) == (low / 4, high / 4)


@pytest.mark.parametrize("rule", [r for r in RANGE_RULES if r != "entropy"])
@pytest.mark.parametrize("seed", cases(8))
def test_an_opposite_tensor_has_the_opposite_range(seed: int, rule: str) -> None:
    """Within the bin that a value on an edge belongs to on one side only."""
    values = tensor(seed)
    grid = GRIDS["s8"]
    (low, high), (low2, high2) = found(rule, values, grid), found(rule, -values, grid)
    assert (-high2, -low2) == pytest.approx((low, high), abs=0.01 * float(np.abs(values).max()))


@pytest.mark.parametrize("seed", cases(16))
@pytest.mark.parametrize("grid", GRIDS)
def test_mse_is_no_worse_than_any_range_of_a_fine_search(seed: int, grid: str) -> None:
    values, symmetric, levels = tensor(seed), grid == "s8", GRIDS[grid].levels
    low, high = found("mse", values, GRIDS[grid])

    def error(low: float, high: float) -> float:
        low, high = min(low, 0.0), max(high, 0.0)
        scale = max(-low, high) / 127 if symmetric else (high - low) / levels
        zero = 127 if symmetric else np.round(-low / scale)
        rounded = (np.clip(np.round(values / scale + zero), 0, levels) - zero) * scale
        return float(((rounded - values) ** 2).mean())

    ends = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    shrunk = 2.0 ** -np.arange(0, 5.01, 1 / 8)
    least = min(
        error(ends[0] * a, ends[1] * b)
        for a in (shrunk if ends[0] else [1.0])
        for b in (shrunk if ends[1] else [1.0])
    )
    assert error(low, high) <= 1.03 * least + 1e-6 * float((values**2).mean())


@pytest.mark.parametrize("rule", ["moving-average", "entropy", "mse"])
def test_what_takes_no_parameter_says_so(rule: str) -> None:
    with pytest.raises(UsageError, match=f"^range {rule} takes no parameter$"):
        range_rule(f"{rule}:3")
    assert range_rule("percentile:50.5") and range_rule("percentile:100")
    with pytest.raises(UsageError, match=r"^range percentile:50: give a number above 50 and up to"):
        range_rule("percentile:50")
    with pytest.raises(UsageError, match=r"^unknown range rule 'mean'"):
        range_rule("mean")
