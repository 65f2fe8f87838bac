from math import sqrt

import numpy as np
import pytest

from validate.metrics import large_arrays
from validate.metrics.bootstrap import SEED, interval, resampled_sums, student_quantile
from validate.metrics.intervals import Intervals
from validate.metrics.metrics import class_images, class_iou, miou


def _random(images: int, classes: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (images, classes, classes)
    reference = rng.integers(0, 500, shape) + 3000 * np.eye(classes, dtype=np.int64)
    int8, rows = reference.copy(), np.arange(classes)
    moved = rng.integers(-100, 300, (images, classes))  # labels stay, predictions change
    int8[:, rows, rows] -= moved
    int8[:, rows, rows - 1] += moved + 100
    reference[:, rows, rows - 1] += 100
    return {"reference": reference, "int8": int8}


def test_a_resample_is_the_sum_of_as_many_images_drawn_with_replacement() -> None:
    # each image is a power of a base larger than the draws, so that a sum tells them all
    images, base = 5, 10
    sums = resampled_sums(np.array([[float(base**index)] for index in range(images)]), 4000)
    counts = np.array([[int(s) // base**i % base for i in range(images)] for s in sums[:, 0]])
    assert (counts.sum(1) == images).all()
    # multinomial: each image once on average, variance 1 - 1/5; 4 standard errors allowed
    assert counts.mean(0) == pytest.approx(np.ones(images), abs=4 * sqrt(0.8 / 4000))
    assert counts.var(0) == pytest.approx(np.full(images, 0.8), abs=0.08)


def test_resamples_equal_a_plain_loop() -> None:
    confusions = _random(12)
    found = Intervals(confusions, resamples=50).class_iou
    rng = np.random.default_rng(SEED)
    for index, drawn in enumerate(rng.integers(0, 12, (50, 12))):
        for key, matrices in confusions.items():
            expected = class_iou(matrices[drawn].sum(0))
            assert found[key].resampled[index] == pytest.approx(expected, abs=1e-9)
    for left_out in range(12):
        rest = np.delete(confusions["int8"], left_out, axis=0).sum(0)
        assert found["int8"].left_out[left_out] == pytest.approx(class_iou(rest), abs=1e-9)


def test_figures_of_many_images_have_the_bits_of_those_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    confusions = _random(37)

    def found() -> list[object]:
        one = Intervals(confusions, resamples=30)
        drops = one.drop("reference", "int8"), one.class_drops("reference", "int8")
        return [*drops, one.miou("int8"), class_images(confusions["int8"])]

    in_memory = found()
    monkeypatch.setattr(large_arrays, "BLOCK", 4)
    monkeypatch.setattr(large_arrays, "_IN_MEMORY", 0)
    assert found() == in_memory


def test_a_mean_approaches_the_interval_of_students_t() -> None:
    """For the mean of normal numbers mean +- t s / sqrt(n) is the exact interval."""
    values = np.random.default_rng(3).normal(10, 2, 200)
    resampled = resampled_sums(values[:, None])[:, 0] / 200
    left_out = (values.sum() - values) / 199
    found = interval(values.mean(), resampled, left_out)
    half = 1.972 * values.std(ddof=1) / sqrt(200)  # t of 199 degrees
    assert found == pytest.approx((values.mean() - half, values.mean() + half), rel=0.005)


# Student's t that leaves 2.5 % above, from printed tables
@pytest.mark.parametrize(
    ("freedom", "t", "accuracy"),
    [(2, 4.3027, 0.01), (3, 3.1824, 0.002), (5, 2.5706, 2e-4), (30, 2.0423, 5e-5)],
)
def test_students_quantile_is_that_of_the_tables(freedom: int, t: float, accuracy: float) -> None:
    assert student_quantile(freedom, 1.959964) == pytest.approx(t, rel=accuracy)
    assert student_quantile(float("inf"), 1.959964) == pytest.approx(1.959964, abs=1e-6)


def test_the_interval_holds_its_figure() -> None:
    confusions = _random(30)
    found = Intervals(confusions, resamples=500)
    for id, matrices in confusions.items():
        ends, value = found.miou(id), miou(matrices.sum(0))
        assert ends is not None and value is not None and ends[0] < value < ends[1]
    drop = (miou(confusions["reference"].sum(0)) or 0) - (miou(confusions["int8"].sum(0)) or 0)
    ends = found.drop("reference", "int8")
    assert ends is not None and ends[0] < drop < ends[1]


def test_the_drop_is_paired() -> None:
    """Images differ far more than the artifact does on each, and the drop's interval knows."""
    found = Intervals(_random(40), resamples=500)
    drop, whole = found.drop("reference", "int8"), found.miou("int8")
    assert drop is not None and whole is not None
    same = Intervals({"a": _random(40)["int8"], "b": _random(40)["int8"]}, resamples=100)
    assert same.drop("a", "b") == (0.0, 0.0)
    assert same.class_drops("a", "b") == [(0.0, 0.0)] * 4


def test_swapping_the_two_turns_the_interval_round() -> None:
    found = Intervals(_random(25), resamples=500)
    one, other = found.drop("reference", "int8"), found.drop("int8", "reference")
    assert one is not None and other is not None
    assert other == pytest.approx((-one[1], -one[0]), abs=1e-9)


def test_one_image_has_no_interval() -> None:
    found = Intervals(_random(1), resamples=50)
    assert found.miou("int8") is None and found.drop("reference", "int8") is None
    assert found.class_drops("reference", "int8") == [None] * 4


def test_a_class_in_one_image_has_none_but_the_drop_has() -> None:
    confusions = _random(20)
    for matrices in confusions.values():
        matrices[1:, 2, :] = 0  # class 2 is labelled in the first image only
        matrices[:, 3, :] = 0  # and class 3 in none, though it is predicted
    found = Intervals(confusions, resamples=500)
    first, second, single, never = found.class_drops("reference", "int8")
    assert first is not None and second is not None and single is None and never is None
    assert found.drop("reference", "int8") is not None
    # a resample without the first image averages over the two classes it has
    ious = found.class_iou["int8"]
    missing = np.isnan(ious.resampled[:, 2])
    assert 0.2 < missing.mean() < 0.5  # (1 - 1/20)^20 = 0.36
    assert ious.mean().resampled[missing] == pytest.approx(ious.resampled[missing, :2].mean(1))


def test_images_without_a_labelled_pixel_have_no_interval() -> None:
    found = Intervals({"a": np.zeros((5, 3, 3), np.int64)}, resamples=50)
    assert found.miou("a") is None
    assert found.class_drops("a", "a") == [None] * 3


def test_a_miou_ends_at_0_and_100() -> None:
    # nearly perfect but for one of three images
    matrices = np.array([[[1000, 0], [0, 1000]]] * 2 + [[[1000, 0], [300, 700]]])
    found = Intervals({"good": matrices, "bad": matrices[:, :, ::-1]}, resamples=500)
    assert (found.miou("good") or (0, 0))[1] == 100 and (found.miou("bad") or (1, 1))[0] == 0
