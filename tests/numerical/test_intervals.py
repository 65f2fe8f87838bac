"""Intervals against scipy's bootstrap and Student's t, the jackknife against leaving images out."""

import numpy as np
import pytest

from tests.numerical.sizes import cases
from validate.metrics.bootstrap import interval, resampled_sums, student_quantile
from validate.metrics.intervals import Intervals
from validate.metrics.metrics import class_iou, miou

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
    # the quantile's own accuracy, at the two degrees that one image alone leaves
    for level, accuracy in ((80, 0.002), (95, 0.01), (99, 0.045)):
        tail = (1 - level / 100) / 2
        ratio = stats.t.isf(tail, freedom) / stats.norm.isf(tail)
        stretch = max(1, error / resampled.std() * ratio)
        low, high = np.quantile(resampled, (tail, 1 - tail))
        expected = whole - stretch * (whole - low), whole + stretch * (high - whole)
        assert interval(whole, resampled, left_out, level) == pytest.approx(
            expected, rel=0, abs=accuracy * (expected[1] - expected[0])
        )


@pytest.mark.parametrize(("level", "lost"), [(80, 0.04), (95, 0.07), (99, 0.11)])
def test_what_students_series_leaves_out_costs_no_coverage(level: float, lost: float) -> None:
    """In points of coverage, which is what a level promises; never more than was asked for."""
    z = float(stats.norm.isf((1 - level / 100) / 2))
    for freedom in np.geomspace(2, 1e4, 50):
        covered = 100 * (1 - 2 * stats.t.sf(student_quantile(freedom, z), freedom))
        assert level - lost < covered < level + 1e-3


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


def test_what_no_image_changes_has_no_width() -> None:
    """Nothing to stretch: all resamples and all that leave one out give the same."""
    same = np.full(50, 7.0)
    assert interval(7.0, same, np.full(4, 7.0)) == (7.0, 7.0)
    # two images: what one leaves out is as far off as the other, kurtosis 1, any degree of freedom
    resampled = np.repeat([4.0, 5.0, 6.0], [25, 50, 25])
    found = interval(5.0, resampled, np.array([4.0, 6.0]))
    # Tukey's error is 1, the spread sqrt(0.5); Student's t of infinite freedom is the normal's
    assert found == pytest.approx((5 - 2**0.5, 5 + 2**0.5))
    # a spread without a difference between those left out, and the other way round, stretch nothing
    assert interval(5.0, resampled, np.array([5.0, 5.0])) == (4.0, 6.0)
    assert interval(5.0, np.full(9, 5.0), np.array([4.0, 6.0, 5.5])) == (5.0, 5.0)
    assert interval(5.0, resampled, np.array([5.0])) is None


@pytest.mark.parametrize("resamples", [1, 499, 500, 501, 1250])
def test_there_are_as_many_resamples_as_were_asked_for(resamples: int) -> None:
    found = resampled_sums(np.ones((7, 2)), resamples)
    assert found.shape == (resamples, 2) and found.dtype == np.float64
    assert (found == 7).all()


def test_another_seed_gives_other_resamples_and_the_same_one_the_same() -> None:
    matrices = np.random.default_rng(0).integers(0, 100, (20, 3, 3))
    one, same, other = (
        Intervals({"a": matrices}, resamples=200, seed=seed).class_iou["a"].resampled
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_differences_are_those_of_each_image_left_out() -> None:
    rng = np.random.default_rng(1)
    both = {key: rng.integers(1, 90, (8, 3, 3)) for key in "ab"}
    both["b"][:, :, 0] += both["a"].sum(2) - both["b"].sum(2) + 300
    both["a"][:, :, 0] += 300
    figures = Intervals(both, resamples=30).class_iou
    lost = figures["a"] - figures["b"]
    for image in range(8):
        a, b = (class_iou(np.delete(both[key], image, 0).sum(0)) for key in "ab")
        expected = [(one or 0) - (two or 0) for one, two in zip(a, b, strict=True)]
        assert lost.left_out[image] == pytest.approx(expected)
    whole = [class_iou(both[key].sum(0)) for key in "ab"]
    assert lost.whole == pytest.approx([(x or 0) - (y or 0) for x, y in zip(*whole, strict=True)])


def test_a_class_of_a_single_labelled_pixel_counts() -> None:
    matrices = np.zeros((3, 2, 2), np.int64)
    matrices[:, 0, 0] = 10
    matrices[0, 1, 1] = 1
    figures = Intervals({"a": matrices}, resamples=40).class_iou["a"]
    assert figures.whole == pytest.approx([100, 100])
    assert np.isnan(figures.left_out[0, 1]) and (figures.left_out[1:, 1] == 100).all()


@pytest.mark.parametrize("freedom", [10, 20, 60])
def test_students_quantile_is_as_good_as_its_last_term_is_small(freedom: int) -> None:
    """What the series leaves out is below its last term, that of 1 / f^4, divided by f / 10."""
    for level in (80, 95, 99):
        z = float(stats.norm.isf((1 - level / 100) / 2))
        last = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * freedom**4)
        expected = stats.t.isf((1 - level / 100) / 2, freedom)
        assert student_quantile(freedom, z) == pytest.approx(expected, abs=abs(last) * 10 / freedom)
