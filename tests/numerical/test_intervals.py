"""Intervals against scipy's bootstrap and Student's t, the jackknife against leaving images out."""

import numpy as np
import pytest

from tests.numerical.sizes import cases
from validate.bootstrap import interval, resampled_sums, student_quantile
from validate.intervals import Intervals
from validate.metrics import class_iou, miou

stats = pytest.importorskip("scipy.stats")


def skewed(images: int, seed: int = 0) -> np.ndarray:
    """Hits and unions per image, as a class has them: most small, few large."""
    rng = np.random.default_rng(seed)
    union = np.ceil(rng.lognormal(4, 1, images))
    return np.stack([np.floor(union * rng.beta(6, 2, images)), union], 1)


@pytest.mark.parametrize("images", [30, 200])
def test_the_percentile_interval_is_scipys(images: int) -> None:
    """Where nothing has to be stretched; 20,000 resamples each, which agree within 3 % of it."""
    rows = skewed(images)
    found = stats.bootstrap(
        (rows[:, 0], rows[:, 1]), lambda hits, union, axis: hits.sum(axis) / union.sum(axis),
        paired=True, vectorized=True, method="percentile", n_resamples=20_000,
        confidence_level=0.95, random_state=1,
    )  # fmt: skip
    sums = resampled_sums(rows, 20_000)
    resampled = sums[:, 0] / sums[:, 1]
    low, high = np.quantile(resampled, (0.025, 0.975))
    width = high - low
    expected = found.confidence_interval
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.03 * width)
    assert resampled.std() == pytest.approx(found.standard_error, rel=0.03)


@pytest.mark.parametrize("seed", cases(5))
def test_the_stretch_is_the_jackknifes_error_and_students_t(seed: int) -> None:
    rows = skewed(25, seed)
    whole = rows[:, 0].sum() / rows[:, 1].sum()
    sums = resampled_sums(rows, 4000)
    resampled = sums[:, 0] / sums[:, 1]
    left_out = np.array([np.delete(rows, i, 0)[:, 0].sum() / np.delete(rows, i, 0)[:, 1].sum()
                         for i in range(25)])  # fmt: skip
    error = np.sqrt(24 / 25 * ((left_out - left_out.mean()) ** 2).sum())
    freedom = 2 * 25 / (stats.kurtosis(left_out, fisher=False) - 1)
    for level in (80, 95, 99):
        tail = (1 - level / 100) / 2
        ratio = stats.t.isf(tail, freedom) / stats.norm.isf(tail)
        stretch = max(1, error / resampled.std() * ratio)
        low, high = np.quantile(resampled, (tail, 1 - tail))
        expected = whole - stretch * (whole - low), whole + stretch * (high - whole)
        assert interval(whole, resampled, left_out, level) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("level", [80.0, 95.0, 99.0])
@pytest.mark.parametrize("freedom", [4, 7.5, 30, 1e3])
def test_students_quantile_is_scipys(level: float, freedom: float) -> None:
    tail = (1 - level / 100) / 2
    found = student_quantile(freedom, stats.norm.isf(tail))
    assert found == pytest.approx(stats.t.isf(tail, freedom), rel=0.012 if freedom < 5 else 2e-3)


@pytest.mark.parametrize("seed", cases(5))
def test_figures_without_an_image_are_those_of_the_others(seed: int) -> None:
    """Adversarial images: classes in one image only, empty ones, and one of 10^9 pixels."""
    rng = np.random.default_rng(seed)
    matrices = rng.integers(0, 40, (9, 4, 4)) * (rng.random((9, 4, 1)) < 0.4)
    matrices[3] = 0
    matrices[4, 0, 0] = 10**9
    figures = Intervals({"a": matrices}, resamples=20).class_iou["a"]
    for image in range(9):
        rest = np.delete(matrices, image, 0).sum(0)
        labelled = rest.sum(1) > 0
        expected = [
            iou if there else None for iou, there in zip(class_iou(rest), labelled, strict=True)
        ]
        found = [None if np.isnan(value) else value for value in figures.left_out[image]]
        assert found == [None if e is None else pytest.approx(e, abs=1e-9) for e in expected]
        mean = figures.mean().left_out[image]
        assert (None if np.isnan(mean) else mean) == (
            None if miou(rest) is None else pytest.approx(miou(rest), abs=1e-9)
        )


@pytest.mark.parametrize("level", [80.0, 95.0])
def test_a_wider_level_is_a_wider_interval_and_holds_the_figure(level: float) -> None:
    rng = np.random.default_rng(3)
    matrices = rng.integers(0, 100, (20, 3, 3)) + 300 * np.eye(3, dtype=np.int64)
    inner = Intervals({"a": matrices}, resamples=2000, level=level).miou("a")
    outer = Intervals({"a": matrices}, resamples=2000, level=level + 4).miou("a")
    value = miou(matrices.sum(0))
    assert inner and outer and value is not None
    assert outer[0] < inner[0] < value < inner[1] < outer[1]


def test_shares_beyond_0_and_100_are_cut() -> None:
    """All but one image are perfect: the upper end would lie above 100."""
    matrices = np.stack([np.diag([50, 50])] * 6)
    matrices[0] = [[50, 0], [49, 1]]
    found = Intervals({"a": matrices}, resamples=2000).miou("a")
    assert found is not None and found[1] == 100.0
