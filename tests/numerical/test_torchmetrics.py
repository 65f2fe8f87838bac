"""Figures of masks against torchmetrics, whose import takes longer than all other tests of them."""

import numpy as np
import pytest
import torch

from validate.metrics.metrics import class_iou, confusion, miou, miou_vainf

classification = pytest.importorskip("torchmetrics.classification")
CLASSES = 6


@pytest.mark.parametrize("seed", range(3))
def test_torchmetrics_finds_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # class 2 is only predicted, 3 only labelled, 4 and 5 are nowhere
    label = rng.choice(np.array([0, 1, 3, 255], np.uint8), (61, 67))
    prediction = rng.choice(np.array([0, 1, 2], np.uint8), (61, 67))
    pair = torch.from_numpy(prediction), torch.from_numpy(label)

    def jaccard(average: str) -> np.ndarray:
        metric = classification.MulticlassJaccardIndex(CLASSES, average=average, ignore_index=255)
        return np.asarray(metric(*pair))

    total = confusion(label, prediction, CLASSES)
    by_class = [(iou or 0.0) / 100 for iou in class_iou(total)]  # it says 0 for absent classes
    assert jaccard("none") == pytest.approx(by_class, abs=1e-6)
    # its mean is over the classes in labels or predictions
    assert jaccard("macro") == pytest.approx((miou_vainf(total) or 0) / 100, abs=1e-6)
    assert jaccard("none")[[0, 1, 3]].mean() == pytest.approx((miou(total) or 0) / 100, abs=1e-6)
