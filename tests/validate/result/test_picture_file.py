import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from export.common.errors import DataError
from tests.validate.report.page.folders import thumbnail
from tests.validate.results import lost, result_of
from validate.result.picture_file import read_pictures, write_pictures

RESULT = result_of(lost("int8@npu", 1))
PIXELS = {"torch-fp32": 0, "int8@npu": 20}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pictures.zip"
    write_pictures([thumbnail("b/../x", 0, PIXELS), thumbnail("a", 1, PIXELS)], RESULT, path)
    return path


def test_what_was_written_is_read_again(file: Path) -> None:
    first, second = read_pictures(RESULT, file)
    before = thumbnail("b/../x", 0, PIXELS)
    assert (first.id, second.id) == ("b/../x", "a")
    assert first.agreement == {"int8@npu": 80.0} and first.label is not None
    np.testing.assert_array_equal(first.label, before.label)
    for key, classes in before.predicted.items():
        np.testing.assert_array_equal(first.predicted[key], classes)
    assert first.size == (60, 60) and list(first.predicted) == ["torch-fp32", "int8@npu"]
    shown = np.asarray(Image.open(BytesIO(first.image_file)))
    # JPEG is not exact, least of all of noise
    assert shown.shape == before.image.shape
    assert np.abs(shown.astype(int) - before.image).mean() < 60


def test_any_program_shows_the_files(file: Path) -> None:
    with ZipFile(file) as archive:
        names = archive.namelist()
        label = Image.open(BytesIO(archive.read("001-label.png")))
        index = json.loads(archive.read("index.json"))
    assert names == [
        "001-image.jpg", "001-label.png", "001-torch-fp32.png", "001-int8@npu.png",
        "002-image.jpg", "002-label.png", "002-torch-fp32.png", "002-int8@npu.png", "index.json",
    ]  # fmt: skip
    assert label.mode == "P"
    # the devkit's colour of 255
    assert label.convert("RGB").getpixel((5, 0)) == (224, 224, 192)
    assert [one["id"] for one in index["pictures"]] == ["b/../x", "a"]


def test_the_same_pictures_give_the_same_bytes(file: Path) -> None:
    again = file.with_name("again.zip")
    write_pictures([thumbnail("b/../x", 0, PIXELS), thumbnail("a", 1, PIXELS)], RESULT, again)
    assert again.read_bytes() == file.read_bytes()


def test_images_without_label(tmp_path: Path) -> None:
    one = replace(thumbnail("a", 0, PIXELS), label=None)
    write_pictures([one], RESULT, tmp_path / "pictures.zip")
    assert read_pictures(RESULT, tmp_path / "pictures.zip")[0].label is None


def test_pictures_of_another_result_are_refused(file: Path) -> None:
    others = [
        result_of(lost("int8@npu", 1), name="other"),
        result_of(lost("int8@npu", 1), protocol="full"),
        result_of(lost("int8@npu", 1, sha256="c" * 64)),
        result_of(lost("int8@npu", 1), lost("fp16", 0)),
    ]
    for other in others:
        with pytest.raises(DataError, match="another result"):
            read_pictures(other, file)


def test_damaged_files_are_refused(file: Path) -> None:
    whole = file.read_bytes()
    with ZipFile(file) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    index = json.loads(files["index.json"])
    del index["pictures"][0]["agreement"]["int8@npu"]
    damaged = [
        {**files, "001-label.png": b"no png"},
        {name: data for name, data in files.items() if name != "002-image.jpg"},
        {**files, "index.json": b"[]"},
        {**files, "index.json": json.dumps(index).encode()},
    ]
    for content in damaged:
        with ZipFile(file, "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data)
        with pytest.raises(DataError, match=r"pictures\.zip: damaged.*--pictures N"):
            read_pictures(RESULT, file)
    file.write_bytes(whole[:-30])
    with pytest.raises(DataError, match="damaged"):
        read_pictures(RESULT, file)
