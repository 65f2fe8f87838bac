"""What the values of masks mean, said by a file or a name; and labels that would mislead."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from export.artifact.classes import VOID
from export.common.errors import DataError, UsageError
from validate.data.items import Dataset, Item
from validate.samples.label_map import AS_THEY_ARE, LABEL_MAPS, read_label_map
from validate.samples.labels import read_mask
from validate.samples.samples import Preparation
from validate.samples.traps import check_accepted, refuse_traps

NAMES = ("road", "car", "sky")


def _mask(folder: Path, values: Any, name: str = "m") -> Item:
    path = folder / f"{name}.png"
    Image.fromarray(np.asarray(values, np.uint8)).save(path)
    return Item(name, path, path)


def _read(item: Item, labels: str | None, names: Sequence[str] = NAMES) -> NDArray[np.uint8]:
    with Image.open(item.image) as image:
        size = image.size[::-1]
    return np.asarray(read_mask(item, size, len(names), (), read_label_map(labels, names)))


def _toml(folder: Path, text: str) -> str:
    path = folder / "labels.toml"
    path.write_text(text)
    return str(path)


def test_a_file_says_void_offset_and_single_values(tmp_path: Path) -> None:
    text = 'void = [0, 9]\noffset = -1\n[classes]\n200 = "sky"\n9 = 0\n'
    item = _mask(tmp_path, [[0, 1, 2], [3, 200, 9]])
    found = _read(item, _toml(tmp_path, text))
    assert found.tolist() == [[VOID, 0, 1], [2, 2, 0]]


def test_a_value_that_a_file_does_not_say_is_an_error_unless_it_says_so(tmp_path: Path) -> None:
    item = _mask(tmp_path, [[1, 7, 77]])
    with pytest.raises(DataError, match=r"image m: mask .* holds \[7, 77\]; labels.toml does not"):
        _read(item, _toml(tmp_path, "void = []"))
    assert _read(item, _toml(tmp_path, 'others = "void"')).tolist() == [[1, VOID, VOID]]


def test_colours_of_a_file(tmp_path: Path) -> None:
    text = '[colours]\n"#ff0000" = "car"\n"000000" = 0\n"#ffffff" = "void"\n'
    item = _mask(tmp_path, [[[255, 0, 0], [0, 0, 0], [255, 255, 255]]])
    assert _read(item, _toml(tmp_path, text)).tolist() == [[1, 0, VOID]]


def test_grey_that_was_saved_as_colours_is_indices(tmp_path: Path) -> None:
    item = _mask(tmp_path, np.repeat([[[0], [2], [255]]], 3, axis=2))
    with pytest.raises(DataError, match=r"colour \(2, 2, 2\).*--labels"):
        _read(item, None)
    assert _read(item, "indices").tolist() == [[0, 2, VOID]]


@pytest.mark.parametrize(
    ("name", "values", "wanted", "classes"),
    [
        # labels.py of cityscapesscripts: 7 road, 26 car, 33 bicycle, 0 unlabeled, 29 caravan
        ("cityscapes", [7, 26, 33, 0, 29, 255], [0, 13, 18, VOID, VOID, VOID], 19),
        ("cityscapes-trainids", [0, 18, 255], [0, 18, VOID], 19),
        # sceneparsing: 0 other objects, 1 wall ... 150 flag
        ("ade20k", [0, 1, 150], [VOID, 0, 149], 150),
        ("camvid", [0, 10, 11], [0, 10, VOID], 11),
        ("voc", [0, 20, 255], [0, 20, VOID], 21),
        ("binary", [0, 255, 1], [0, 1, 1], 2),
    ],
)
def test_maps_that_have_a_name(
    name: str, values: list[int], wanted: list[int], classes: int, tmp_path: Path
) -> None:
    names = [str(index) for index in range(classes)]
    assert _read(_mask(tmp_path, [values]), name, names).tolist() == [wanted]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("offsett = 1", "offsett"),
        ("void = 3", "void"),
        ('[classes]\n3 = "cars"', "did you mean 'car'"),
        ("[classes]\n3 = 3", "class 3; the network has 0 to 2"),
        ('[colours]\n"#ff00" = 1', "#rrggbb"),
        ("void = [", "not valid TOML"),
    ],
)
def test_files_that_are_none(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_label_map(_toml(tmp_path, text), NAMES)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_name_that_is_none() -> None:
    with pytest.raises(DataError, match="did you mean 'cityscapes'"):
        read_label_map("citscapes", NAMES)
    with pytest.raises(DataError, match=r"gone\.toml: cannot read"):
        read_label_map("gone.toml", NAMES)


def test_maps_that_mean_the_same_are_one_label_set() -> None:
    assert LABEL_MAPS["voc"].digest == AS_THEY_ARE.digest
    assert LABEL_MAPS["cityscapes"].digest == LABEL_MAPS["cityscapes-labelids"].digest
    assert LABEL_MAPS["ade20k"].digest != AS_THEY_ARE.digest


# ------------------------------------------------------------------------------ traps


def _refuse(
    folder: Path,
    masks: Sequence[Any],
    classes: int = 3,
    labels: str | None = None,
    accept: Any = (),
) -> None:
    items = tuple(_mask(folder, mask, str(i)) for i, mask in enumerate(masks))
    names = [str(index) for index in range(classes)]
    preparation = Preparation(
        "squash", (64, 64), (0,), (1,), classes, (), "RGB", read_label_map(labels, names)
    )
    refuse_traps(Dataset("d", "all", items), preparation, accept)


def test_white_masks_are_not_void(tmp_path: Path) -> None:
    white = [[[0, 255], [255, 0]], [[0, 0], [0, 255]]]
    with pytest.raises(DataError) as caught:
        _refuse(tmp_path, white, classes=2)
    assert "data d:all: the masks hold 0 and 255 only" in str(caught.value)
    assert "--labels binary" in str(caught.value)
    _refuse(tmp_path, white, classes=2, labels="binary")
    _refuse(tmp_path, white, 2, None, ("white-is-void", "absent-class", "one-class"))


def test_a_class_that_is_nowhere_while_much_is_void(tmp_path: Path) -> None:
    # of 10 pixels 3 are void
    row = [[0, 0, 0, 1, 1, 1, 1, 255, 255, 255]]
    with pytest.raises(DataError, match=r"no mask holds class 2, and 30 % of the pixels are void"):
        _refuse(tmp_path, [row])
    _refuse(tmp_path, [row], accept=("absent-class",))
    _refuse(tmp_path, [row], classes=2)
    _refuse(tmp_path, [[[0, 0, 0, 0, 1, 1, 1, 1, 255, 255]]])  # 20 %: a border
    _refuse(tmp_path, [row], labels="voc")  # the user says that 255 is void


def test_labels_of_one_class(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="all 2 masks hold class 1 only"):
        _refuse(tmp_path, [[[1, 1]], [[1, 1]]])
    with pytest.raises(DataError, match="all 1 masks hold void only"):
        _refuse(tmp_path, [[[255, 255]]], accept=("absent-class",))
    _refuse(tmp_path, [[[1, 1]], [[1, 1]]], accept=("one-class",))


def test_masks_of_another_size_are_resized_where_that_is_accepted(tmp_path: Path) -> None:
    image = tmp_path / "i.png"
    Image.new("RGB", (4, 4)).save(image)
    item = _mask(tmp_path, [[0, 1], [2, 0]])
    item = Item("m", image, item.mask)
    with pytest.raises(DataError, match=r"mask is 2x2, the image 4x4; --accept mask-size"):
        read_mask(item, (4, 4), 3)
    found = np.asarray(read_mask(item, (4, 4), 3, fit=True))
    assert found.tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 0, 0], [2, 2, 0, 0]]


def test_accepted_names_are_known_ones() -> None:
    with pytest.raises(UsageError, match="did you mean 'one-class'"):
        check_accepted(["one-clas"])
