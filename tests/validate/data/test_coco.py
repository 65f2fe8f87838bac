import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from export.artifact.classes import VOC_CLASSES
from export.common.errors import DataError
from tests.validate.data.coco import HEIGHT, WIDTH, box, crowd, instance, write_coco
from tests.validate.fakes import save_rgb
from validate.data.coco import CATEGORY_IDS, OTHER_NAMES
from validate.data.datasets import open_dataset
from validate.data.items import Dataset
from validate.samples.labels import read_mask

pytest.importorskip("pycocotools")

FULL_ROW = crowd(*["." * WIDTH] * 4, "#" * WIDTH, *["." * WIDTH] * (HEIGHT - 5))


def _label(dataset: Dataset, id: int, classes: int = 21) -> np.ndarray:
    (item,) = [item for item in dataset.items if item.id == f"{id:012d}"]
    return np.asarray(read_mask(item, (HEIGHT, WIDTH), classes))


def _ids(dataset: Dataset) -> list[int]:
    return [int(item.id) for item in dataset.items]


# The names of COCO's paper list, by id, for the 20 classes of VOC.
_COCO = {
    1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train",
    9: "boat", 16: "bird", 17: "cat", 18: "dog", 19: "horse", 20: "sheep", 21: "cow",
    44: "bottle", 62: "chair", 63: "couch", 64: "potted plant", 67: "dining table", 72: "tv",
}  # fmt: skip


def test_category_ids_are_those_of_cocos_names() -> None:
    named = [_COCO[category] for category in CATEGORY_IDS[1:]]
    assert named == [OTHER_NAMES.get(name, name) for name in VOC_CLASSES[1:]]


def test_instances_become_voc_classes(tmp_path: Path) -> None:
    person, tv = box(1, 2, 4, 6), box(6, 0, 9, 3)
    root = write_coco(tmp_path, [instance(3, 1, person), instance(3, 72, tv)])
    dataset = open_dataset(str(root), "val")
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[2:6, 1:4] = 15
    expected[0:3, 6:9] = 20
    np.testing.assert_array_equal(_label(dataset, 3), expected)
    assert (dataset.name, dataset.split, dataset.labelled) == (tmp_path.name, "val2017", True)


def test_pixels_of_two_instances_are_void_also_of_one_class(tmp_path: Path) -> None:
    root = write_coco(tmp_path, [instance(3, 1, box(0, 0, 4, 4)), instance(3, 1, box(2, 2, 6, 6))])
    label = _label(open_dataset(str(root), "val"), 3)
    assert np.argwhere(label == 255).tolist() == [[2, 2], [2, 3], [3, 2], [3, 3]]
    assert (label == 15).sum() == 16 + 16 - 2 * 4


def test_a_crowd_is_an_instance_like_any_other(tmp_path: Path) -> None:
    """torchvision's reference does not look at iscrowd."""
    root = write_coco(
        tmp_path, [instance(5, 3, FULL_ROW, iscrowd=1), instance(5, 1, box(0, 3, 2, 6))]
    )
    label = _label(open_dataset(str(root), "val"), 5)
    assert label[4].tolist() == [255, 255] + [7] * (WIDTH - 2)
    assert label[3].tolist() == [15, 15] + [0] * (WIDTH - 2)


def test_compressed_run_lengths_are_read_too(tmp_path: Path) -> None:
    from pycocotools import mask as coco

    packed = coco.frPyObjects(FULL_ROW, HEIGHT, WIDTH)
    packed["counts"] = packed["counts"].decode()
    root = write_coco(tmp_path, [instance(5, 3, packed, iscrowd=1)])
    assert np.argwhere(_label(open_dataset(str(root), "val"), 5) == 7)[:, 0].tolist() == [4] * WIDTH


def _as_torchvision(instances: list[dict[str, Any]]) -> np.ndarray:
    """references/segmentation/coco_utils.py in other words: product, maximum, sum, 255."""
    from pycocotools import mask as coco

    planes, classes = [], []
    for one in instances:
        if one["category_id"] not in CATEGORY_IDS:
            continue
        drawn = coco.decode(coco.frPyObjects(one["segmentation"], HEIGHT, WIDTH))
        drawn = drawn if drawn.ndim == 3 else drawn[..., None]
        planes.append(torch.from_numpy(drawn).any(dim=2).to(torch.uint8))
        classes.append(CATEGORY_IDS.index(one["category_id"]))
    if not planes:
        return np.zeros((HEIGHT, WIDTH), np.uint8)
    stacked = torch.stack(planes)
    target = (stacked * torch.tensor(classes, dtype=torch.uint8)[:, None, None]).amax(0)
    target[stacked.sum(0) > 1] = 255
    return target.numpy()


@pytest.mark.parametrize("seed", range(6))
def test_random_instances_are_drawn_as_torchvisions_reference_does(
    tmp_path: Path, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    annotations = []
    for image in (3, 5, 7):
        for _ in range(int(rng.integers(1, 7))):
            corners = rng.uniform(0, [WIDTH, HEIGHT], (int(rng.integers(3, 7)), 2))
            parts = [corners.reshape(-1).tolist()] * int(rng.integers(1, 3))
            category = int(rng.choice([1, 3, 5, 22, 62, 72]))
            annotations.append(instance(image, category, parts))
        annotations.append(instance(image, 3, FULL_ROW, iscrowd=1))
    dataset = open_dataset(str(write_coco(tmp_path, annotations)), "val")
    for image in (3, 5, 7):
        mine = [one for one in annotations if one["image_id"] == image]
        np.testing.assert_array_equal(_label(dataset, image), _as_torchvision(mine))


def test_images_without_the_classes_are_skipped_unless_asked_for(tmp_path: Path) -> None:
    root = write_coco(tmp_path, [instance(7, 1, box(0, 0, 2, 2)), instance(3, 22, box(0, 0, 9, 9))])
    assert _ids(open_dataset(str(root), "val")) == [7]
    everything = open_dataset(f"{root}:val+empty", "val")
    assert _ids(everything) == [3, 5, 7]  # by image id, as torchvision's CocoDetection
    assert everything.split == "val2017+empty"
    assert not _label(everything, 3).any() and not _label(everything, 5).any()


def test_a_root_and_its_file_are_the_same_images(tmp_path: Path) -> None:
    root = write_coco(tmp_path, [instance(3, 1, box(0, 0, 2, 2)), instance(5, 3, FULL_ROW)])
    file = root / "annotations/instances_val2017.json"
    expected = open_dataset(f"{root}:val2017", "val")
    for source in (f"{root}:val", str(file), f"{file}:../val2017", f"{file}:{root}/val2017"):
        found = open_dataset(source, "train" if source == str(file) else "val")
        files = [(item.id, item.image.resolve(), item.mask) for item in found.items]
        assert files == [(item.id, item.image, item.mask) for item in expected.items]
        assert found.labels_sha256 == expected.labels_sha256
    assert _ids(open_dataset(f"{file}:+empty", "val")) == [3, 5, 7]
    assert _ids(open_dataset(f"{file}:{root}/val2017+empty", "val")) == [3, 5, 7]


def test_another_polygon_is_another_label_set_of_the_same_images(tmp_path: Path) -> None:
    first = open_dataset(str(write_coco(tmp_path / "a", [instance(3, 1, box(0, 0, 2, 2))])), "val")
    other = open_dataset(str(write_coco(tmp_path / "b", [instance(3, 1, box(0, 0, 2, 3))])), "val")
    assert first.ids_sha256 == other.ids_sha256
    assert first.labels_sha256 != other.labels_sha256


def test_for_calibration_pycocotools_is_not_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_coco(tmp_path, [instance(3, 1, box(0, 0, 2, 2))])
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    monkeypatch.setattr("validate.data.instances.find_spec", lambda name: None)
    assert not open_dataset(f"{root}:val", "train", masks=False).labelled
    with pytest.raises(DataError, match=r"pip install 'segport\[coco\]'"):
        open_dataset(str(root), "val")


def test_another_class_list_is_refused(tmp_path: Path) -> None:
    root = write_coco(tmp_path, [instance(3, 1, box(0, 0, 2, 2))])
    with pytest.raises(DataError, match=r"image 000000000003: COCO's .* 21 classes, .* has 19"):
        _label(open_dataset(str(root), "val"), 3, 19)


def test_run_lengths_of_another_size_are_refused(tmp_path: Path) -> None:
    root = write_coco(tmp_path, [instance(3, 1, crowd("#.", ".."))])
    with pytest.raises(DataError, match="annotation 100 is 2x2, its image 12x10"):
        _label(open_dataset(str(root), "val"), 3)


def _edit(root: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = root / "annotations/instances_val2017.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def _no_file(root: Path) -> None:
    (root / "val2017/000000000003.jpg").unlink()


def _other_category(root: Path) -> None:
    _edit(root, lambda content: content["categories"].append({"id": 2, "name": "truck"}))


def _twice(root: Path) -> None:
    _edit(root, lambda content: content["images"].append(content["images"][1] | {"id": 3}))


def _captions(root: Path) -> None:
    _edit(root, lambda content: content["annotations"][0].pop("segmentation"))


def _list(root: Path) -> None:
    (root / "annotations/instances_val2017.json").write_text("[1, 2]")


def _truncated(root: Path) -> None:
    file = root / "annotations/instances_val2017.json"
    file.write_text(file.read_text()[:50])


def _no_folder(root: Path) -> None:
    (root / "val2017").rename(root / "elsewhere")


def _other_split(root: Path) -> None:
    folder = root / "annotations"
    (folder / "instances_val2017.json").rename(folder / "instances_train2017.json")


def _two_years(root: Path) -> None:
    folder = root / "annotations"
    (folder / "instances_val2014.json").write_text("{}")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_no_file, r"1 files listed in instances_val2017\.json are absent.*0003\.jpg"),
        (_other_category, "category 2 is 'truck', in COCO it is 'bicycle'"),
        (_twice, "image 000000000003 is there more than once"),
        (_captions, r"instances_val2017\.json: not an instances file of COCO .*segmentation"),
        (_list, r"instances_val2017\.json: not an instances file of COCO"),
        (_truncated, r"instances_val2017\.json: not an instances file of COCO"),
        (_no_folder, r"no folder of images.*instances_val2017\.json:IMAGES_DIR"),
        (_other_split, "no one split 'val'; there: train2017"),
        (_two_years, "no one split 'val'; there: val2014, val2017"),
    ],
)
def test_damaged_coco_folders_are_named(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    root = write_coco(tmp_path, [instance(3, 1, box(0, 0, 2, 2))])
    damage(root)
    with pytest.raises(DataError, match=message):
        open_dataset(str(root), "val")


def test_an_image_of_another_size_than_the_file_says_is_refused(tmp_path: Path) -> None:
    root = write_coco(tmp_path, [instance(3, 1, box(0, 0, 2, 2))])
    save_rgb(root / "val2017/000000000003.jpg", np.zeros((WIDTH, HEIGHT, 3)))
    (item,) = open_dataset(str(root), "val").items
    with pytest.raises(DataError, match="image 000000000003: mask is 12x10, the image 10x12"):
        read_mask(item, (WIDTH, HEIGHT), 21)


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    save_rgb(tmp_path / "x.png", [[[0, 0, 0]]])
    with pytest.raises(DataError, match=r"x\.png: a file; give its folder"):
        open_dataset(str(tmp_path / "x.png"), "val")
