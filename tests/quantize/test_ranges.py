import numpy as np
import pytest

from export.errors import UsageError
from quantize.ranges import range_rule
from quantize.statistics import Histogram, MinMax


def _range(rule: str, values: np.ndarray) -> tuple[float, float]:
    chosen = range_rule(rule)
    statistic = chosen.statistic()
    single = values.astype(np.float32).reshape(1, -1)
    extremes = (single.min(), single.max())
    statistic.update(*(extremes if isinstance(statistic, MinMax) else (*extremes, single)))
    return chosen.range(statistic)


def test_minmax_is_the_smallest_and_largest_value() -> None:
    assert _range("minmax", np.array([-1.0, 4.0, 2.0])) == (-1.0, 4.0)


@pytest.mark.parametrize("percentile", [99.0, 99.9, 99.99])
def test_percentile_equals_numpy_quantiles_within_one_bin(percentile: float) -> None:
    values = np.random.default_rng(0).standard_normal(200_000) * 3 + 1
    low, high = _range(f"percentile:{percentile}", values)
    histogram = Histogram()
    histogram.update(values.min(), values.max(), values.astype(np.float32))
    tail = (100 - percentile) / 100
    assert low == pytest.approx(np.quantile(values, tail), abs=1.01 * histogram.width)
    assert high == pytest.approx(np.quantile(values, 1 - tail), abs=1.01 * histogram.width)


def test_percentile_cuts_off_an_outlier_that_minmax_follows() -> None:
    values = np.append(np.linspace(0, 1, 100_000), 1000.0)
    assert _range("minmax", values)[1] == 1000.0
    assert _range("percentile", values)[1] < 1.5


def test_percentile_never_leaves_the_values_seen() -> None:
    relu = np.maximum(np.random.default_rng(1).standard_normal(10_000), 0)
    low, high = _range("percentile:100", relu)
    assert (low, high) == (0.0, pytest.approx(float(np.float32(relu.max()))))


@pytest.mark.parametrize("rule", ["percentile:50", "percentile:101", "percentile:x", "minmax:3"])
def test_parameters_out_of_range_are_refused(rule: str) -> None:
    with pytest.raises(UsageError):
        range_rule(rule)


def test_an_unknown_rule_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'percentile'"):
        range_rule("precentile")
