from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper
from PIL import Image

from export.artifact.artifact import Artifact
from export.common.errors import DataError, UsageError
from export.common.files import sha256_of
from export.ort.sessions import open_session, run
from segport.scoring import Agreement, Drop, session_times
from validate.data.datasets import open_dataset
from validate.data.items import Dataset
from validate.samples.samples import Preparation


@pytest.fixture
def dataset(voc: Path) -> Dataset:
    return open_dataset(f"{voc}:train", "train")


def _last(score: Drop | Agreement, model: ModelProto) -> float:
    """The score on all images."""
    *_, reading = score(model)
    return reading.score


def _blurred(artifact: Artifact) -> ModelProto:
    """The network with weights rounded to one decimal: predictions differ here and there."""
    model = onnx.load(artifact.path)
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 4:
            rounded = numpy_helper.to_array(tensor).round(1)
            tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
    return model


def _classes(model: ModelProto, preparation: Preparation, dataset: Dataset) -> np.ndarray:
    session = open_session(model.SerializeToString())
    images = [preparation.sample(item).image for item in dataset.items]
    return np.concatenate([run(session, image)[0].argmax(1) for image in images])


def _labels(dataset: Dataset) -> np.ndarray:
    return np.stack(
        [
            np.asarray(Image.open(item.mask or "").resize((65, 65), Image.Resampling.NEAREST))
            for item in dataset.items
        ]
    )


def _mean_iou(labels: np.ndarray, classes: np.ndarray) -> float:
    known = labels != 255
    ious = []
    for index in np.unique(labels[known]):
        there, said = (labels == index) & known, (classes == index) & known
        ious.append((there & said).sum() / (there | said).sum())
    return 100 * float(np.mean(ious))


def test_drop_is_the_difference_of_two_mean_ious(tiny: Artifact, dataset: Dataset) -> None:
    preparation = Preparation.for_artifact(tiny.manifest, "squash")
    score = Drop(tiny, dataset, preparation)
    model, labels = _blurred(tiny), _labels(dataset)
    before = _mean_iou(labels, _classes(onnx.load(tiny.path), preparation, dataset))
    after = _mean_iou(labels, _classes(model, preparation, dataset))
    assert before != after
    assert _last(score, model) == pytest.approx(before - after)
    assert _last(score, onnx.load(tiny.path)) == 0.0


def test_agreement_is_the_share_of_equal_pixels(tiny: Artifact, dataset: Dataset) -> None:
    preparation = Preparation.for_artifact(tiny.manifest, "squash")
    score = Agreement(tiny, dataset, preparation)
    model = _blurred(tiny)
    fp32 = _classes(onnx.load(tiny.path), preparation, dataset)
    same = (fp32 == _classes(model, preparation, dataset)).mean()
    assert 0 < same < 1
    assert _last(score, model) == pytest.approx(100 * same)
    assert _last(score, onnx.load(tiny.path)) == 100.0
    assert _last(score, model) == pytest.approx(100 * same)  # the stored classes can be read again


def test_a_score_stops_when_it_is_told_and_runs_fp32_no_further(
    tiny: Artifact, dataset: Dataset
) -> None:
    score = Agreement(tiny, dataset, Preparation.for_artifact(tiny.manifest, "squash"))
    model = _blurred(tiny)
    reading = next(score(model, lambda: True))
    assert (reading.images, reading.total) == (2, len(dataset.items)) and len(score.images) == 2
    *_, later = score(model)  # goes on from the classes that were kept
    assert later.images == later.total == len(score.images)


def test_agreement_needs_no_labels_and_takes_images_at_their_own_size(
    tiny: Artifact, voc: Path
) -> None:
    dataset = open_dataset(str(voc / "JPEGImages"), "val").first(2)
    score = Agreement(tiny, dataset, Preparation.for_artifact(tiny.manifest, "full"))
    assert _last(score, onnx.load(tiny.path)) == 100.0
    assert _last(score, _blurred(tiny)) < 100.0


def test_images_that_were_used_are_known_by_their_digest(tiny: Artifact, dataset: Dataset) -> None:
    score = Drop(tiny, dataset.first(3), Preparation.for_artifact(tiny.manifest, "squash"))
    assert score.images == ()
    _last(score, onnx.load(tiny.path))
    assert [(i.id, i.sha256) for i in score.images] == [
        (item.id, sha256_of(item.image)) for item in dataset.items[:3]
    ]


def test_a_drop_without_labels_is_refused_with_the_way_out(tiny: Artifact, voc: Path) -> None:
    dataset = open_dataset(str(voc / "JPEGImages"), "val")
    with pytest.raises(UsageError, match=r"--max-drop: .*JPEGImages.* use --min-agreement"):
        Drop(tiny, dataset, Preparation.for_artifact(tiny.manifest, "squash"))


def test_no_images_is_an_error(tiny: Artifact) -> None:
    with pytest.raises(DataError, match="no images to score on"):
        Agreement(
            tiny, Dataset("empty", "all", ()), Preparation.for_artifact(tiny.manifest, "squash")
        )


def test_labels_that_are_all_void_are_an_error(tiny: Artifact, tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (70, 70)).save(tmp_path / "images/a.png")
    Image.new("L", (70, 70), 255).save(tmp_path / "masks/a.png")
    with pytest.raises(DataError, match="no pixel of the scoring images is labelled"):
        Drop(
            tiny,
            open_dataset(str(tmp_path), "val"),
            Preparation.for_artifact(tiny.manifest, "squash"),
        )


def test_times_come_in_the_order_of_the_models(tiny: Artifact) -> None:
    model = onnx.load(tiny.path)
    twenty = ModelProto()
    twenty.CopyFrom(model)
    value = "input"
    for index in range(20):  # the same network behind twenty more passes over the input
        node = onnx.helper.make_node("Softmax", [value], [f"soft{index}"], axis=index % 2 + 2)
        twenty.graph.node.insert(index, node)
        value = f"soft{index}"
    for node in twenty.graph.node[20:]:
        node.input[:] = [value if name == "input" else name for name in node.input]
    image = np.zeros((1, 3, 65, 65), np.float32)
    slow, fast = session_times(tiny, image, [twenty, model])
    assert slow > fast > 0
