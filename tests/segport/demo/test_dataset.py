from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import VOCSegmentation

from segport.demo.dataset import write_dataset
from segport.demo.scenes import scene
from validate.data.datasets import open_dataset


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo") / "VOCdevkit/VOC2012"
    return write_dataset(root, {"train": 2, "val": 3})


def test_segport_reads_both_splits(root: Path) -> None:
    assert [item.id for item in open_dataset(str(root), "val").items] == [
        "scene_val_0000",
        "scene_val_0001",
        "scene_val_0002",
    ]
    assert len(open_dataset(f"{root}:train", "val").items) == 2


def test_torchvision_reads_it_as_voc(root: Path) -> None:
    dataset = VOCSegmentation(str(root.parents[1]), year="2012", image_set="val")
    assert len(dataset) == 3
    image, mask = dataset[1]
    assert image.size == mask.size
    assert mask.mode == "P"
    assert np.array_equal(np.asarray(mask), scene(1, 2).label)


def test_masks_have_the_colours_of_voc(root: Path) -> None:
    mask = Image.open(root / "SegmentationClass/scene_val_0000.png")
    colours = np.asarray(mask.getpalette()).reshape(-1, 3)
    assert colours[0].tolist() == [0, 0, 0]
    assert colours[1].tolist() == [128, 0, 0]  # aeroplane, as the devkit paints it
    assert colours[15].tolist() == [192, 128, 128]  # person
    assert colours[20].tolist() == [0, 64, 128]  # tvmonitor
    assert colours[255].tolist() == [224, 224, 192]  # void


def test_writing_again_gives_the_same_bytes(root: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path, {"train": 2, "val": 3})
    files = sorted(p.relative_to(root) for p in root.rglob("*") if p.is_file())
    assert len(files) == 12
    for file in files:
        assert (root / file).read_bytes() == (tmp_path / file).read_bytes(), file


def test_a_longer_split_begins_with_the_same_scenes(root: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path, {"val": 1})
    name = "JPEGImages/scene_val_0000.jpg"
    assert (root / name).read_bytes() == (tmp_path / name).read_bytes()


def test_progress_counts_scenes(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_dataset(tmp_path, {"train": 1, "val": 1}, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
