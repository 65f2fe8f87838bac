from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.common.errors import DataError
from tests.validate.fakes import fake_runtime, logits_of, save_mask, save_rgb
from validate.counting.evaluation import Evaluation, at_size, evaluate
from validate.data.datasets import open_dataset
from validate.data.items import Dataset
from validate.judging.figures import image_counts
from validate.metrics.agreement import ImageCounts
from validate.metrics.metrics import miou
from validate.samples.samples import Preparation

CLASSES = 3


def _preparation(protocol: str = "squash") -> Preparation:
    return Preparation(protocol, (2, 2), (0, 0, 0), (1, 1, 1), CLASSES)


def _data(root: Path, **labels: Any) -> Dataset:
    for name, label in labels.items():
        save_rgb(root / f"images/{name}.png", np.zeros((*np.shape(label), 3)))
        save_mask(root / f"masks/{name}.png", label)
    return open_dataset(str(root), "val")


def _evaluate(
    dataset: Dataset, reference: list[Any], other: list[Any], protocol: str = "squash"
) -> tuple[Evaluation, Evaluation]:
    runtimes = {
        # the reference need not come first
        "other": fake_runtime(*(logits_of(classes, CLASSES) for classes in other)),
        "reference": fake_runtime(*(logits_of(classes, CLASSES) for classes in reference)),
    }
    found = evaluate(runtimes, "reference", dataset, _preparation(protocol))
    assert list(found) == ["other", "reference"]
    return found["reference"], found["other"]


def _agreeing(evaluation: Evaluation) -> tuple[int, int]:
    """Pixels that agree, of how many, in all images."""
    counts = _images(evaluation)
    return sum(i.agreeing for i in counts), sum(i.pixels for i in counts)


def _images(evaluation: Evaluation) -> list[ImageCounts]:
    evidence = evaluation.evidence()
    assert evidence.against is not None
    return image_counts(evidence, [str(index) for index in range(len(evidence.against))])


def _labels(evaluation: Evaluation) -> Any:
    return evaluation.evidence().labels


def test_confusion_agreement_and_fidelity_by_hand(tmp_path: Path) -> None:
    dataset = _data(tmp_path, a=[[0, 0], [1, 1]], b=[[2, 255], [1, 1]])
    reference, other = _evaluate(
        dataset,
        reference=[[[0, 0], [1, 1]], [[2, 0], [1, 0]]],
        other=[[[0, 1], [1, 1]], [[2, 0], [0, 0]]],
    )
    assert _labels(reference).tolist() == [
        [[2, 0, 0], [0, 2, 0], [0, 0, 0]],
        [[0, 0, 0], [1, 1, 0], [0, 0, 1]],
    ]
    assert _labels(other).tolist() == [
        [[1, 1, 0], [0, 2, 0], [0, 0, 0]],
        [[0, 0, 0], [2, 0, 0], [0, 0, 1]],
    ]
    # reference: IoU 2/3, 3/4, 1; other: 1/4, 2/5, 1
    assert miou(_labels(reference).sum(0)) == pytest.approx((200 / 3 + 75 + 100) / 3)
    assert miou(_labels(other).sum(0)) == pytest.approx((25 + 40 + 100) / 3)
    # one pixel differs in each image; the void one counts here
    assert _agreeing(other) == (6, 8)
    assert _agreeing(reference) == (8, 8)
    # the reference's classes as label: class 0: 3 of 5, class 1: 2 of 4, class 2: 1 of 1
    assert other.fidelity is not None and miou(other.fidelity) == pytest.approx((60 + 50 + 100) / 3)
    assert reference.fidelity is not None and miou(reference.fidelity) == 100
    assert reference.nonfinite == other.nonfinite == []


def test_unlabelled_images_still_give_agreement_and_fidelity(tmp_path: Path) -> None:
    save_rgb(tmp_path / "a.png", np.zeros((2, 2, 3)))
    dataset = open_dataset(str(tmp_path), "val")
    reference, other = _evaluate(dataset, [[[0, 0], [1, 1]]], [[[0, 1], [1, 1]]])
    assert _labels(other) is None and _labels(reference) is None
    assert _agreeing(other) == (3, 4)
    # class 0: 1 of 2, class 1: 2 of 3
    assert other.fidelity is not None and miou(other.fidelity) == pytest.approx((50 + 200 / 3) / 2)


def _wide(*, start: int) -> list[list[int]]:
    """Two rows of 40 pixels, class 1 from column `start` on."""
    return [[0] * start + [1] * (40 - start)] * 2


def _counts(evaluation: Evaluation) -> list[tuple[int, int, int, int]]:
    return [(i.pixels, i.agreeing, i.near, i.near_agreeing) for i in _images(evaluation)]


def test_agreement_is_split_at_borders_of_the_label(tmp_path: Path) -> None:
    dataset = _data(tmp_path, a=_wide(start=20), b=_wide(start=40))
    size = Preparation("squash", (2, 40), (0, 0, 0), (1, 1, 1), CLASSES)
    runtimes = {
        "reference": fake_runtime(logits_of(_wide(start=20), CLASSES)),
        # columns 18-25 differ: 18-24 are within 5 px of the label's border, 25 is not
        "other": fake_runtime(logits_of([[0] * 18 + [2] * 8 + [1] * 14] * 2, CLASSES)),
    }
    found = evaluate(runtimes, "reference", dataset, size)
    assert _counts(found["other"]) == [(80, 64, 20, 6), (80, 64, 0, 0)]
    assert _counts(found["reference"]) == [(80, 80, 20, 20), (80, 80, 0, 0)]


def test_without_a_label_borders_are_those_of_the_references_classes(tmp_path: Path) -> None:
    save_rgb(tmp_path / "a.png", np.zeros((2, 40, 3)))
    size = Preparation("squash", (2, 40), (0, 0, 0), (1, 1, 1), CLASSES)
    runtimes = {
        # its own border, at 30, plays no part
        "other": fake_runtime(logits_of(_wide(start=30), CLASSES)),
        "reference": fake_runtime(logits_of(_wide(start=20), CLASSES)),
    }
    found = evaluate(runtimes, "reference", open_dataset(str(tmp_path), "val"), size)
    # columns 20-29 differ, of which 20-24 are near
    assert _counts(found["other"]) == [(80, 60, 20, 10)]


def test_fidelity_takes_the_reference_as_the_label(tmp_path: Path) -> None:
    dataset = _data(tmp_path, a=[[0, 0], [1, 1]])
    _, other = _evaluate(dataset, reference=[[[0, 0], [1, 1]]], other=[[[0, 2], [1, 1]]])
    assert other.fidelity is not None
    assert other.fidelity.tolist() == [[1, 0, 1], [0, 2, 0], [0, 0, 0]]
    # class 2 is nowhere in the reference, so it adds no zero
    assert miou(other.fidelity) == (50 + 100) / 2


def test_full_compares_at_the_images_own_size(tmp_path: Path) -> None:
    label = [[0, 1, 1, 1], [0, 0, 255, 1]]
    dataset = _data(tmp_path, a=label)
    # class 1 over class 0 by -1 on the left and 4 on the right. Bilinear from 2 to 4 columns:
    # -1, -1 + 5/4, -1 + 15/4, 4, so only the first column is class 0 (nearest would say two).
    planes = np.zeros((1, CLASSES, 2, 2), np.float32)
    planes[0, 1] = [[-1, 4], [-1, 4]]
    planes[0, 2] = -9
    runtimes = {"only": fake_runtime({"logits": planes})}
    found = evaluate(runtimes, "only", dataset, _preparation("full"))["only"]
    assert _labels(found)[0].tolist() == [[2, 1, 0], [0, 4, 0], [0, 0, 0]]
    assert _agreeing(found)[1] == 8
    squashed = evaluate(runtimes, "only", dataset, _preparation("squash"))["only"]
    assert _agreeing(squashed)[1] == 4


def test_a_mask_is_resized_to_the_nearest_pixel() -> None:
    mask = np.array([[[0, 2], [1, 0]]], np.uint8)
    assert at_size({"mask": mask}, (2, 4)).tolist() == [[0, 0, 2, 2], [1, 1, 0, 0]]


def test_an_artifact_with_a_mask_is_compared_by_its_mask(tmp_path: Path) -> None:
    dataset = _data(tmp_path, a=[[0, 0], [1, 2]])
    runtimes = {
        "logits": fake_runtime(logits_of([[0, 0], [1, 2]], CLASSES)),
        "mask": fake_runtime({"mask": np.array([[[0, 0], [1, 1]]], np.uint8)}),
    }
    found = evaluate(runtimes, "logits", dataset, _preparation())
    assert _agreeing(found["mask"]) == (3, 4)
    assert found["mask"].nonfinite == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_images_with_logits_that_are_not_finite_are_listed(tmp_path: Path, value: float) -> None:
    dataset = _data(tmp_path, a=[[0, 0], [1, 1]], b=[[0, 0], [1, 1]], c=[[0, 0], [1, 1]])
    good = logits_of([[0, 0], [1, 1]], CLASSES)
    bad = {"logits": good["logits"].copy()}
    bad["logits"][0, 2, 1, 0] = value
    runtimes = {"good": fake_runtime(good), "bad": fake_runtime(good, bad, bad)}
    found = evaluate(runtimes, "good", dataset, _preparation())
    assert found["good"].nonfinite == []
    assert found["bad"].nonfinite == ["b", "c"]


def test_large_finite_logits_are_not_called_broken(tmp_path: Path) -> None:
    dataset = _data(tmp_path, a=[[0, 0], [1, 1]])
    huge = {"logits": logits_of([[0, 0], [1, 1]], CLASSES)["logits"] * np.float32(3e38)}
    found = evaluate({"huge": fake_runtime(huge)}, "huge", dataset, _preparation())
    assert found["huge"].nonfinite == []


def test_progress_counts_images(tmp_path: Path) -> None:
    dataset = _data(tmp_path, a=[[0, 0], [1, 1]], b=[[0, 0], [1, 1]])
    seen: list[tuple[int, int]] = []
    runtimes = {"only": fake_runtime(logits_of([[0, 0], [1, 1]], CLASSES))}
    evaluate(runtimes, "only", dataset, _preparation(), progress=lambda *step: seen.append(step))
    assert seen == [(1, 2), (2, 2)]


def test_no_images_is_an_error() -> None:
    runtimes = {"only": fake_runtime(logits_of([[0, 0], [1, 1]], CLASSES))}
    with pytest.raises(DataError, match="no images"):
        evaluate(runtimes, "only", Dataset("empty", "val", ()), _preparation())
