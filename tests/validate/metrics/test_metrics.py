import numpy as np
import pytest

from validate.metrics.metrics import (
    class_images,
    class_iou,
    confusion,
    invented_classes,
    miou,
    pixel_accuracy,
)

CLASSES = 6


def _array(rows: list[list[int]]) -> np.ndarray:
    return np.array(rows, np.uint8)


def test_as_many_classes_as_a_label_can_name() -> None:
    """With 255 of them, codes of (label, prediction) go up to the last that 16 bits hold."""
    label = _array([[0, 254, 254, 255, 255, 1]])
    found = confusion(label, _array([[254, 254, 0, 254, 0, 2]]), 255)
    assert found.shape == (255, 255) and found.dtype == np.int64
    assert found.sum() == 4
    assert [found[0, 254], found[254, 254], found[254, 0], found[1, 2]] == [1, 1, 1, 1]


@pytest.mark.parametrize("seed", range(3))
def test_vainfs_miou_equals_his_arithmetic(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label = rng.choice(np.array([0, 1, 3, 255], np.uint8), (17, 23))
    prediction = rng.choice(np.array([0, 1, 2, 3], np.uint8), (17, 23))
    # VainF/DeepLabV3Plus-Pytorch, metrics/stream_metrics.py: a class that is nowhere gives 0/0
    mask = label < CLASSES
    cells = CLASSES * label[mask].astype(int) + prediction[mask]
    hist = np.bincount(cells, minlength=CLASSES**2).reshape(CLASSES, CLASSES)
    with np.errstate(invalid="ignore"):
        iu = np.diag(hist) / (hist.sum(axis=1) + hist.sum(axis=0) - np.diag(hist))
    assert np.isnan(iu).tolist() == [False] * 4 + [True] * 2
    total = confusion(label, prediction, CLASSES)
    found = [iou for iou in class_iou(total) if iou is not None]
    assert np.mean(found) == pytest.approx(100 * np.nanmean(iu), abs=1e-12)


def test_images_of_a_class_are_those_whose_label_has_it() -> None:
    first = confusion(_array([[0, 0, 1]]), _array([[2, 2, 2]]), 3)
    second = confusion(_array([[0, 255, 255]]), _array([[1, 1, 1]]), 3)
    assert class_images(np.stack([first, second])) == [2, 1, 0]


def test_rows_are_labels_columns_predictions_and_void_is_left_out() -> None:
    found = confusion(_array([[0, 0, 1, 255, 255]]), _array([[0, 2, 1, 0, 2]]), 3)
    assert found.dtype == np.int64
    assert found.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_a_class_that_is_only_predicted_costs_no_zero_of_its_own() -> None:
    total = confusion(_array([[0, 0, 1, 1]]), _array([[0, 1, 1, 2]]), 3)
    # class 0: 1 of 2; class 1: 1 hit, 2 labelled, 2 predicted -> 1/3; class 2: only predicted
    assert class_iou(total) == pytest.approx([50, 100 / 3, 0])
    assert miou(total) == pytest.approx((50 + 100 / 3) / 2)
    assert invented_classes(total) == [2]
    assert pixel_accuracy(total) == 50


def test_a_labelled_class_that_is_never_found_counts_as_zero() -> None:
    total = confusion(_array([[0, 0, 0, 1]]), _array([[0, 0, 0, 0]]), 2)
    assert class_iou(total) == [75, 0]
    assert miou(total) == 37.5


def test_without_labelled_pixels_there_are_no_figures() -> None:
    total = confusion(_array([[255, 255]]), _array([[0, 1]]), 2)
    assert class_iou(total) == [None, None]
    assert (miou(total), pixel_accuracy(total)) == (None, None)
    assert invented_classes(total) == []
