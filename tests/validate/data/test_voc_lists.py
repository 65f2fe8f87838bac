"""What VOC's layout is used for beside VOC 2012's own splits."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.common.errors import DataError
from tests.validate.fakes import save_mask
from validate.data.datasets import Dataset, open_dataset

MakeVoc = Callable[..., Path]
LISTS = "ImageSets/Segmentation"


@pytest.fixture
def root(tmp_path: Path, make_voc: MakeVoc) -> Path:
    """VOC with SBD's labels of the training images beside it."""
    root = make_voc(tmp_path / "VOC2012", train=3, val=2)
    for index in range(3):
        save_mask(root / f"SegmentationClassAug/train_{index:03d}.png", np.full((80, 96), index))
    return root


def _masks(dataset: Dataset) -> list[str]:
    return [
        f"{i.mask.parent.name}/{i.mask.name}" for i in dataset.items if isinstance(i.mask, Path)
    ]


@pytest.mark.parametrize("year", ["VOC2007", "VOC2010", "VOC2012"])
def test_every_year_can_be_named_in_a_devkit_of_several(
    tmp_path: Path, make_voc: MakeVoc, year: str
) -> None:
    for seed, other in enumerate(["VOC2007", "VOC2010", "VOC2012"]):
        make_voc(tmp_path / "VOCdevkit" / other, seed=seed)
    dataset = open_dataset(f"{tmp_path}/VOCdevkit/{year}:train", "val")
    assert (dataset.name, dataset.split, len(dataset.items)) == (year, "train", 4)
    assert dataset.items[0].image.parents[1].name == year


def test_trainaug_of_bare_ids_has_sbds_labels(root: Path) -> None:
    (root / LISTS / "trainaug.txt").write_text("train_002\ntrain_000\n")
    dataset = open_dataset(f"{root}:trainaug", "val")
    names = ["SegmentationClassAug/train_002.png", "SegmentationClassAug/train_000.png"]
    assert _masks(dataset) == names
    assert dataset.split == "trainaug"
    assert _masks(open_dataset(f"{root}:train", "val"))[0] == "SegmentationClass/train_000.png"


def test_trainaug_of_pairs_says_itself_which_files(root: Path, tmp_path: Path) -> None:
    """DeepLab's train_aug.txt; here a list of one's own that lies elsewhere."""
    lines = "/JPEGImages/train_001.jpg /SegmentationClassAug/train_001.png\n"
    lines += "/JPEGImages/train_000.jpg /SegmentationClass/train_000.png\n"
    listed = tmp_path / "lists/mine.txt"
    listed.parent.mkdir()
    listed.write_text(lines)
    dataset = open_dataset(f"{root}:{listed}", "val")
    assert [item.id for item in dataset.items] == ["train_001", "train_000"]
    names = ["SegmentationClassAug/train_001.png", "SegmentationClass/train_000.png"]
    assert _masks(dataset) == names
    assert dataset.items[0].image == root / "JPEGImages/train_001.jpg"
    assert dataset.split == "mine"
    assert not open_dataset(f"{root}:{listed}", "val", masks=False).labelled


def test_trainaug_without_sbds_labels_is_no_unlabelled_run(root: Path) -> None:
    shutil.rmtree(root / "SegmentationClassAug")
    (root / LISTS / "trainaug.txt").write_text("train_002\n")
    with pytest.raises(DataError, match=r"trainaug\.txt needs SBD's labels"):
        open_dataset(f"{root}:trainaug", "val")
    images = open_dataset(f"{root}:trainaug", "val", masks=False)  # calibration needs none
    assert [item.id for item in images.items] == ["train_002"]
    pair = "/JPEGImages/train_001.jpg /SegmentationClass/train_001.png\n"
    (root / LISTS / "trainaug.txt").write_text(pair)
    assert _masks(open_dataset(f"{root}:trainaug", "val")) == ["SegmentationClass/train_001.png"]


def test_a_list_may_lie_in_the_root(root: Path) -> None:
    (root / "few.txt").write_text("val_001\n")
    assert [item.id for item in open_dataset(f"{root}:few.txt", "val").items] == ["val_001"]


def test_the_two_kinds_of_labels_are_two_label_sets(root: Path) -> None:
    (root / LISTS / "trainaug.txt").write_text((root / LISTS / "train.txt").read_text())
    own, sbd = (open_dataset(f"{root}:{split}", "val") for split in ("train", "trainaug"))
    assert own.ids_sha256 == sbd.ids_sha256
    assert own.labels_sha256 != sbd.labels_sha256
    again = open_dataset(f"{root}:train", "val")
    assert own.labels_sha256 == again.labels_sha256 is not None


def test_images_of_a_test_set_have_no_labels(root: Path) -> None:
    """VOC publishes no masks of its test sets."""
    shutil.rmtree(root / "SegmentationClass")
    dataset = open_dataset(f"{root}:val", "val")
    assert len(dataset.items) == 2 and not dataset.labelled
    assert dataset.labels_sha256 is None


def _absent_mask(root: Path) -> None:
    (root / "SegmentationClassAug/train_001.png").unlink()


def _repeated(root: Path) -> None:
    (root / LISTS / "trainaug.txt").write_text("train_000\ntrain_000\n")


def _repeated_pairs(root: Path) -> None:
    pair = "/JPEGImages/train_000.jpg /{}/train_000.png\n"
    lines = pair.format("SegmentationClass") + pair.format("SegmentationClassAug")
    (root / LISTS / "trainaug.txt").write_text(lines)


def _empty(root: Path) -> None:
    (root / LISTS / "trainaug.txt").write_text("\n \n")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_absent_mask, r"1 files listed in trainaug\.txt are absent.*Aug/train_001\.png"),
        (_repeated, "image train_000 is there more than once"),
        (_repeated_pairs, "image train_000 is there more than once"),
        (_empty, r"no images in trainaug\.txt"),
    ],
)
def test_damaged_lists_are_named(root: Path, damage: Callable[[Path], None], message: str) -> None:
    (root / LISTS / "trainaug.txt").write_text("train_000\ntrain_001\ntrain_002\n")
    damage(root)
    with pytest.raises(DataError, match=message):
        open_dataset(f"{root}:trainaug", "val")


def test_a_list_file_that_is_not_there_is_named(root: Path) -> None:
    with pytest.raises(DataError, match=r"no list gone\.txt"):
        open_dataset(f"{root}:gone.txt", "val")


def test_labels_of_sbd_are_compared_like_any(root: Path) -> None:
    (root / LISTS / "trainaug.txt").write_text("train_002\n")
    (item,) = open_dataset(f"{root}:trainaug", "val").items
    assert isinstance(item.mask, Path)
    assert np.unique(np.asarray(Image.open(item.mask))).tolist() == [2]
