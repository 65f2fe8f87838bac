"""Folders of images and masks, as people lay them out."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.common.errors import DataError
from validate.data.datasets import open_dataset


def _files(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
    return root


def _pairs(source: Path | str, split: str = "val", **options: str) -> list[tuple[str, str, str]]:
    dataset = open_dataset(str(source), split, **options)  # type: ignore[arg-type]
    root = Path(str(source).partition(":")[0])
    root = root.parent if root.is_file() else root
    return [
        (item.id, item.image.relative_to(root).as_posix(), item.mask.relative_to(root).as_posix())
        for item in dataset.items
        if isinstance(item.mask, Path)
    ]


@pytest.mark.parametrize("masks", ["masks", "labels", "annotations"])
def test_folders_by_their_names(masks: str, tmp_path: Path) -> None:
    _files(tmp_path, "images/a.jpg", "images/b.jpg", f"{masks}/a.png", f"{masks}/b.png")
    assert _pairs(tmp_path) == [
        ("a", "images/a.jpg", f"{masks}/a.png"),
        ("b", "images/b.jpg", f"{masks}/b.png"),
    ]


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        (("p0", "p1", "q7"), ("p0_mask", "p1_mask", "q7_mask")),
        (("img_01", "img_02"), ("mask_01", "mask_02")),
        (("x_rgb", "y_rgb"), ("x_gt", "y_gt")),
        (("a",), ("a_mask",)),
    ],
)
def test_masks_with_an_ending_of_their_own(
    images: tuple[str, ...], masks: tuple[str, ...], tmp_path: Path
) -> None:
    _files(tmp_path, *(f"images/{n}.jpg" for n in images), *(f"masks/{n}.png" for n in masks))
    assert [(id, Path(mask).stem) for id, _, mask in _pairs(tmp_path)] == [
        *zip(images, masks, strict=True)
    ]


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        (("10", "11", "12"), ("20", "21", "22")),
        (("cam1_a", "cam1_b"), ("cam2_a", "cam2_b")),
        (("a", "b"), ("a_mask", "c_mask")),
        (("cat",), ("dog",)),
    ],
)
def test_names_that_do_not_belong_together(
    images: tuple[str, ...], masks: tuple[str, ...], tmp_path: Path
) -> None:
    _files(tmp_path, *(f"images/{n}.jpg" for n in images), *(f"masks/{n}.png" for n in masks))
    with pytest.raises(DataError, match=r"not in both images/ and masks/.*--mask-suffix"):
        open_dataset(str(tmp_path), "val")
    assert len(open_dataset(str(tmp_path), "val", masks=False).items) == len(images)


def test_a_suffix_that_is_given_holds_for_all(tmp_path: Path) -> None:
    _files(tmp_path, "images/a.jpg", "images/b.jpg", "masks/a-s.png", "masks/b-s.png")
    assert [mask for *_, mask in _pairs(tmp_path, suffix="-s")] == [
        "masks/a-s.png",
        "masks/b-s.png",
    ]
    with pytest.raises(DataError, match="not in both"):
        open_dataset(str(tmp_path), "val", suffix="-t")


def test_splits_in_folders(tmp_path: Path) -> None:
    _files(
        tmp_path,
        "images/training/a.jpg", "images/validation/b.jpg",
        "annotations/training/a.png", "annotations/validation/b.png",
    )  # fmt: skip
    assert [id for id, *_ in _pairs(tmp_path)] == ["b"]
    assert [id for id, *_ in _pairs(f"{tmp_path}:train")] == ["a"]
    with pytest.raises(DataError, match="no split 'test'; there: training, validation"):
        open_dataset(f"{tmp_path}:test", "val")


def test_camvid(tmp_path: Path) -> None:
    _files(tmp_path, "train/a.png", "trainannot/a.png", "val/b.png", "valannot/b.png")
    assert _pairs(tmp_path) == [("b", "val/b.png", "valannot/b.png")]


def test_cityscapes_and_the_map_that_its_masks_need(tmp_path: Path) -> None:
    for city in ("aachen", "bonn"):
        _files(
            tmp_path,
            f"leftImg8bit/val/{city}/{city}_0_1_leftImg8bit.png",
            f"gtFine/val/{city}/{city}_0_1_gtFine_labelIds.png",
        )
    dataset = open_dataset(str(tmp_path), "val")
    assert [item.id for item in dataset.items] == ["aachen_0_1", "bonn_0_1"]
    assert dataset.labels == "cityscapes-labelids"
    for mask in tmp_path.rglob("*labelIds.png"):
        mask.rename(mask.with_name(mask.name.replace("labelIds", "labelTrainIds")))
    assert open_dataset(str(tmp_path), "val").labels == "cityscapes-trainids"
    next(tmp_path.rglob("*labelTrainIds.png")).unlink()
    with pytest.raises(DataError, match="1 masks of val are absent"):
        open_dataset(str(tmp_path), "val")


@pytest.mark.parametrize("head", ["", "mask,image\n"])
def test_a_csv_of_pairs_relative_to_itself(head: str, tmp_path: Path) -> None:
    _files(tmp_path, "one/a.jpg", "two/a.jpg", "truth/1.png", "truth/2.png")
    rows = [("one/a.jpg", "truth/1.png"), ("two/a.jpg", "truth/2.png")]
    lines = [",".join(row[::-1] if head else row) for row in rows]
    (tmp_path / "list.csv").write_text(head + "\n".join(lines) + "\n")
    assert _pairs(tmp_path / "list.csv") == [
        ("one_a", "one/a.jpg", "truth/1.png"),
        ("two_a", "two/a.jpg", "truth/2.png"),
    ]


def test_a_csv_that_names_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("a.jpg,a.png\n")
    with pytest.raises(DataError, match=r"files listed in list\.csv are absent"):
        open_dataset(str(tmp_path / "list.csv"), "val")


def test_images_whose_labels_lie_in_a_folder_of_another_name(tmp_path: Path) -> None:
    _files(tmp_path, "images/a.jpg", "images/b.jpg", "truth/a.png", "truth/b.png")
    with pytest.raises(DataError, match="truth/ holds files of the same names"):
        open_dataset(str(tmp_path), "val")
    assert not open_dataset(str(tmp_path / "images"), "val").labelled
    assert len(open_dataset(str(tmp_path), "train", masks=False).items) == 2
