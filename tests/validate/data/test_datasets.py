import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from export.common.errors import DataError
from tests.validate.fakes import save_mask, save_rgb
from validate.data.datasets import Dataset, Item, open_dataset

MakeVoc = Callable[..., Path]
PIXEL = [[[1, 2, 3]]]


def _ids(dataset: Dataset) -> list[str]:
    return [item.id for item in dataset.items]


def _numbered(count: int) -> Dataset:
    items = tuple(Item(f"i{index:02d}", Path(f"i{index:02d}.jpg"), None) for index in range(count))
    return Dataset("numbered", "train", items)


def test_devkit_and_year_folder_are_the_same_data(tmp_path: Path, make_voc: MakeVoc) -> None:
    root = make_voc(tmp_path / "VOCdevkit" / "VOC2012", train=2, val=3)
    by_year = open_dataset(str(root), "val")
    for above in (tmp_path / "VOCdevkit", tmp_path):
        assert open_dataset(str(above), "val") == by_year
    assert (by_year.name, by_year.split) == ("VOC2012", "val")
    assert _ids(by_year) == ["val_000", "val_001", "val_002"]
    assert by_year.items[0].image == root / "JPEGImages/val_000.jpg"
    assert by_year.items[0].mask == root / "SegmentationClass/val_000.png"
    assert by_year.labelled


def test_split_after_a_colon_and_default_split(tmp_path: Path, make_voc: MakeVoc) -> None:
    root = make_voc(tmp_path / "VOC2012", train=2, val=3)
    assert _ids(open_dataset(f"{root}:train", "val")) == ["train_000", "train_001"]
    assert _ids(open_dataset(str(root), "train")) == ["train_000", "train_001"]
    assert open_dataset(f"{root}:train", "val").split == "train"


def test_items_keep_the_order_of_the_list(tmp_path: Path, make_voc: MakeVoc) -> None:
    root = make_voc(tmp_path / "VOC2012", train=1, val=3)
    listed = root / "ImageSets/Segmentation/val.txt"
    listed.write_text("val_002\n\nval_000\n  val_001  \n")
    dataset = open_dataset(str(root), "val")
    assert _ids(dataset) == ["val_002", "val_000", "val_001"]
    assert dataset.ids_sha256 == hashlib.sha256(b"val_002\nval_000\nval_001").hexdigest()


def test_a_folder_given_as_dot_has_its_own_name(
    tmp_path: Path, make_voc: MakeVoc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make_voc(tmp_path / "VOC2012", train=1, val=1))
    assert open_dataset(".", "val").name == "VOC2012"


def test_without_masks_labels_are_not_looked_up(tmp_path: Path, make_voc: MakeVoc) -> None:
    root = make_voc(tmp_path / "VOC2012", train=2, val=1)
    (root / "SegmentationClass/train_000.png").unlink()
    dataset = open_dataset(f"{root}:train", "train", masks=False)
    assert [item.mask for item in dataset.items] == [None, None]
    assert not dataset.labelled


def test_folder_of_images_and_masks(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    for stem in ("b", "a"):
        save_rgb(root / f"images/{stem}.png", PIXEL)
        save_mask(root / f"masks/{stem}.png", [[0]])
    (root / "images/notes.txt").write_text("no image")
    dataset = open_dataset(str(root), "val")
    assert dataset.items == tuple(
        Item(s, root / f"images/{s}.png", root / f"masks/{s}.png") for s in ("a", "b")
    )
    assert dataset.name == "mine" and dataset.labelled


def test_folder_of_images_alone(tmp_path: Path) -> None:
    for stem in ("b.JPG", "a.png", "c.jpeg"):
        save_rgb(tmp_path / stem, PIXEL)
    dataset = open_dataset(str(tmp_path), "val")
    assert _ids(dataset) == ["a", "b", "c"]
    assert not dataset.labelled and {item.mask for item in dataset.items} == {None}


def _remove_lists(root: Path) -> None:
    for file in (root / "ImageSets/Segmentation").iterdir():
        file.unlink()
    (root / "ImageSets/Segmentation").rmdir()
    (root / "ImageSets").rmdir()


def _remove_image(root: Path) -> None:
    (root / "JPEGImages/val_001.jpg").unlink()


def _remove_mask(root: Path) -> None:
    (root / "SegmentationClass/val_001.png").unlink()


def _empty_list(root: Path) -> None:
    (root / "ImageSets/Segmentation/val.txt").write_text("\n")


def _list_twice(root: Path) -> None:
    (root / "ImageSets/Segmentation/val.txt").write_text("val_000\nval_001\nval_000\n")


def _binary_list(root: Path) -> None:
    (root / "ImageSets/Segmentation/val.txt").write_bytes(b"\xff\xfe\x00val")


def _remove_split(root: Path) -> None:
    (root / "ImageSets/Segmentation/val.txt").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_remove_lists, "no ImageSets/Segmentation"),
        (_remove_split, "no split 'val' in ImageSets/Segmentation; there: train"),
        (_remove_image, r"1 files listed in val.txt are absent.*JPEGImages/val_001\.jpg"),
        (_remove_mask, r"1 files listed in val.txt are absent.*SegmentationClass/val_001\.png"),
        (_empty_list, "no images"),
        (_list_twice, "image val_000 is there more than once"),
        (_binary_list, "val.txt"),
    ],
)
def test_a_damaged_voc_root_is_named(
    tmp_path: Path, make_voc: MakeVoc, damage: Callable[[Path], None], message: str
) -> None:
    root = make_voc(tmp_path / "VOC2012", train=1, val=2)
    damage(root)
    with pytest.raises(DataError, match=message):
        open_dataset(str(root), "val")


def test_a_devkit_with_two_years_asks_which(tmp_path: Path, make_voc: MakeVoc) -> None:
    for year in ("VOC2007", "VOC2012"):
        make_voc(tmp_path / year, train=1, val=1)
    with pytest.raises(DataError, match=r"VOC2007, VOC2012; name one"):
        open_dataset(str(tmp_path), "val")


def test_images_and_masks_must_have_equal_stems(tmp_path: Path) -> None:
    save_rgb(tmp_path / "images/a.png", PIXEL)
    save_rgb(tmp_path / "images/b.png", PIXEL)
    save_mask(tmp_path / "masks/a.png", [[0]])
    with pytest.raises(DataError, match=r"1 names .* the first is b"):
        open_dataset(str(tmp_path), "val")
    assert _ids(open_dataset(str(tmp_path), "val", masks=False)) == ["a", "b"]


def test_what_macos_leaves_beside_files_is_no_image(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        save_mask(tmp_path / folder / "a.png", [[0]])
        (tmp_path / folder / "._a.png").write_bytes(b"resource fork")
    assert _ids(open_dataset(str(tmp_path), "val")) == ["a"]
    assert _ids(open_dataset(str(tmp_path / "images"), "val")) == ["a"]


def test_one_stem_with_two_endings_is_refused(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        save_rgb(tmp_path / name, PIXEL)
    with pytest.raises(DataError, match="image a is there more than once"):
        open_dataset(str(tmp_path), "val")


def test_folders_that_are_no_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        open_dataset(str(tmp_path / "nowhere"), "val")
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(DataError, match="not a VOC root"):
        open_dataset(str(tmp_path), "val")
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    with pytest.raises(DataError, match="no images"):
        open_dataset(str(tmp_path), "val")


def test_first_takes_the_head_of_the_list() -> None:
    assert _ids(_numbered(5).first(2)) == ["i00", "i01"]
    assert _ids(_numbered(2).first(9)) == ["i00", "i01"]
    assert _ids(_numbered(2).first(None)) == ["i00", "i01"]
    for limit in (0, -1):
        with pytest.raises(DataError, match=f"limit {limit}"):
            _numbered(5).first(limit)


def test_sampling_is_seeded_without_repetition_and_in_list_order() -> None:
    dataset = _numbered(50)
    chosen = _ids(dataset.sample(10, 0))
    assert len(set(chosen)) == 10 and chosen == sorted(chosen)
    assert _ids(dataset.sample(10, 0)) == chosen
    assert _ids(dataset.sample(10, 1)) != chosen
    assert chosen != _ids(dataset.first(10))


def test_sampling_more_than_there_are_gives_all_and_zero_is_an_error() -> None:
    assert _ids(_numbered(3).sample(64, 5)) == ["i00", "i01", "i02"]
    for dataset, count in ((_numbered(3), 0), (_numbered(3), -2), (_numbered(0), 4)):
        with pytest.raises(DataError, match="at least 1 is needed"):
            dataset.sample(count, 0)


def test_a_split_of_a_folder_that_has_none_is_refused(tmp_path: Path) -> None:
    """`mine:train` and `mine:val` would silently be the same images."""
    save_rgb(tmp_path / "images/a.png", PIXEL)
    save_mask(tmp_path / "masks/a.png", [[0]])
    for source in (tmp_path, tmp_path / "images"):
        with pytest.raises(DataError, match="train"):
            open_dataset(f"{source}:train", "val")
