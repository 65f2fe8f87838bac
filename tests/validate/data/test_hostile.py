"""Folders and annotations that somebody made to do harm, or an accident did."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.common.errors import DataError
from tests.validate.data.coco import HEIGHT, WIDTH, box, crowd, instance, write_coco
from tests.validate.fakes import save_rgb
from validate.data.datasets import open_dataset
from validate.data.shapes import checked_polygons, run_lengths
from validate.samples.labels import read_mask

SIZE = (HEIGHT, WIDTH)
NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    "shape",
    [
        [[0, 0, NAN, 0, 4, 4]],
        [[0, 0, 1e30, 0, 4, 4]],
        [[0, 0, INFINITY, 0, 4, 4]],
        [[0, 0, -INFINITY, 0, 4, 4]],
        [[0, 0, 10**400, 0, 4, 4]],
        [[0, 0, 4, 0, 4]],
        [[0, 0, True, 0, 4, 4]],
        [[0, 0, "4", 0, 4, 4]],
        [[0, 0, 12, 10] * 50],
        ["abcdef"],
        [{}],
        {},
        {"size": [10, 12], "counts": [1, 2]},
        {"size": [10, 12], "counts": [-1, 121]},
        {"size": [10, 12], "counts": [2**40]},
        {"size": [10, 12], "counts": [NAN, 120]},
        {"size": [10, 12], "counts": "ppppppppppppppppppppp"},
        {"size": [10, 12], "counts": "\x00"},
        {"size": [10, 12], "counts": 5},
        {"size": "ten", "counts": [120]},
        7,
        "text",
    ],
)
def test_shapes_that_cannot_be(tmp_path: Path, shape: Any) -> None:
    root = write_coco(tmp_path, [instance(3, 1, shape)])
    (item,) = open_dataset(str(root), "val").items
    with pytest.raises(DataError, match="annotation 100 has no shape that can be drawn"):
        read_mask(item, SIZE, 21)


def test_run_lengths_are_what_pycocotools_draws() -> None:
    coco = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    for _ in range(50):
        mask = rng.random((13, 17)) < rng.random()
        packed = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        runs = {"size": [13, 17], "counts": packed["counts"].decode()}
        np.testing.assert_array_equal(run_lengths(runs, (13, 17)), mask)
        rows = ["".join(".#"[int(p)] for p in row) for row in mask]
        np.testing.assert_array_equal(run_lengths(crowd(*rows), (13, 17)), mask)


def test_what_encloses_nothing_is_left_out() -> None:
    square = [0, 0, 4, 0, 4, 4, 0, 4]
    assert checked_polygons([[1, 1, 2, 2], square], SIZE) == [square]


@pytest.mark.parametrize("name", ["../up.jpg", "/etc/up.jpg", "a/../../up.jpg", "", "x\0.jpg"])
def test_a_file_name_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    root = write_coco(tmp_path, [instance(3, 1, box(0, 0, 2, 2))])
    file = root / "annotations/instances_val2017.json"
    content = json.loads(file.read_text())
    content["images"][1]["file_name"] = name
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match="leads out of the folder of images"):
        open_dataset(str(root), "val")


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("images", "id", []),
        ("images", "id", "3"),
        ("images", "height", NAN),
        ("images", "width", 0),
        ("images", "file_name", 5),
        ("annotations", "image_id", {}),
        ("annotations", "category_id", [1]),
        ("annotations", "id", None),
        ("categories", "name", None),
        ("categories", "id", {}),
    ],
)
def test_wrong_types_are_named(tmp_path: Path, part: str, key: str, value: Any) -> None:
    root = write_coco(tmp_path, [instance(3, 1, box(0, 0, 2, 2))])
    file = root / "annotations/instances_val2017.json"
    content = json.loads(file.read_text())
    content[part][0][key] = value
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match=rf"not an instances file of COCO \({part}\.0\.{key}: "):
        open_dataset(str(root), "val")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"images": ' * 50_000, "1" * 10_000, "null"])
def test_json_that_no_parser_likes(tmp_path: Path, text: str) -> None:
    root = write_coco(tmp_path, [])
    (root / "annotations/instances_val2017.json").write_text(text)
    with pytest.raises(DataError, match="not an instances file of COCO"):
        open_dataset(str(root), "val")


def _socket(path: Path) -> None:
    path.unlink(missing_ok=True)
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's whole path may have about a hundred bytes
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        Path.mkdir,
        _socket,
        lambda path: path.symlink_to("nowhere"),
        lambda path: path.symlink_to(path.name),
        lambda path: path.symlink_to("/dev/zero"),
    ],
    ids=["pipe", "folder", "socket", "dangling", "loop", "device"],
)
@pytest.mark.parametrize("name", ["x.jpg", "images/x.jpg", "masks/x.png"])
def test_only_regular_files_are_pictures(
    tmp_path: Path, make: Callable[[Path], None], name: str
) -> None:
    pixels = np.zeros((4, 4, 3))
    others = ["a.jpg"] if name == "x.jpg" else ["images/x.jpg", "masks/x.png"]
    for other in others:
        save_rgb(tmp_path / other, pixels)
    (tmp_path / name).unlink(missing_ok=True)
    make(tmp_path / name)
    with pytest.raises(DataError, match=r"x\.(jpg|png) is not a regular file"):
        open_dataset(str(tmp_path), "val")


@pytest.mark.parametrize("name", [b"x\xff.jpg", b"x\n.jpg", b"x\x1b[31m.jpg"])
def test_names_that_cannot_be_shown(tmp_path: Path, name: bytes) -> None:
    save_rgb(tmp_path / "a.jpg", np.zeros((4, 4, 3)))
    (tmp_path / "a.jpg").rename(tmp_path / os.fsdecode(name))
    with pytest.raises(DataError, match="in its name; rename it") as caught:
        open_dataset(str(tmp_path), "val")
    assert str(caught.value).isprintable()


def test_a_list_stays_in_its_root(tmp_path: Path) -> None:
    (tmp_path / "VOC2012/ImageSets/Segmentation").mkdir(parents=True)
    (tmp_path / "VOC2012/JPEGImages").mkdir()
    save_rgb(tmp_path / "out.jpg", np.zeros((4, 4, 3)))
    (tmp_path / "VOC2012/ImageSets/Segmentation/val.txt").write_text("../out.jpg ../out.jpg\n")
    with pytest.raises(DataError, match="leads out of it"):
        open_dataset(str(tmp_path / "VOC2012"), "val")


def test_a_path_too_long_for_any_file_system() -> None:
    with pytest.raises(DataError, match="no such folder"):
        open_dataset("x" * 5000, "val")
