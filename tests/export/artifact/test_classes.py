from pathlib import Path

import pytest

from export.artifact.classes import palette, read_classes
from export.common.errors import DataError


def test_palette_is_the_devkits() -> None:
    colours = palette(256)

    # as in VOC's own label map
    assert colours[0] == (0, 0, 0)
    assert colours[1] == (128, 0, 0)  # aeroplane
    assert colours[8] == (64, 0, 0)  # cat
    assert colours[15] == (192, 128, 128)  # person
    assert colours[20] == (0, 64, 128)  # tvmonitor
    assert colours[255] == (224, 224, 192)  # the border
    assert len(set(colours)) == 256


def test_voc_has_21_classes_in_the_devkits_order() -> None:
    names = read_classes("voc")

    assert len(names) == 21
    assert (names[0], names[1], names[15], names[20]) == (
        "background", "aeroplane", "person", "tvmonitor",
    )  # fmt: skip


def test_file_of_names(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_text("road\n\n  sky \ncar\n")

    assert read_classes(str(file)) == ["road", "sky", "car"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "holds 0"),
        ("only\n", "holds 1"),
        ("\n".join(f"c{i}" for i in range(256)), "holds 256"),
        ("a\nb\na\n", "a more than once"),
    ],
)
def test_unusable_files_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "names.txt"
    file.write_text(text)

    with pytest.raises(DataError, match=reason) as caught:
        read_classes(str(file))
    assert str(file) in str(caught.value)


def test_255_names_are_the_most(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_text("\n".join(f"c{i}" for i in range(255)))

    assert len(read_classes(str(file))) == 255


def test_missing_and_binary_files_are_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(DataError, match="not UTF-8"):
        read_classes(str(binary))
    with pytest.raises(DataError, match=r"cannot read .*absent"):
        read_classes(str(tmp_path / "absent"))


@pytest.mark.parametrize("odd", ["a\x07b", "\x1b[31mred", "x\u202ey", "z\ufffe"])
def test_names_with_control_characters_are_refused(tmp_path: Path, odd: str) -> None:
    (tmp_path / "names.txt").write_text(f"sky\n{odd}\n", encoding="utf-8")
    with pytest.raises(DataError, match="control characters") as caught:
        read_classes(str(tmp_path / "names.txt"))
    assert str(caught.value).isprintable()


def test_names_may_be_spelt_out() -> None:
    assert read_classes("sky, road,car") == ["sky", "road", "car"]
    assert read_classes("3") == ["class 0", "class 1", "class 2"]
    many = [f"class number {index}" for index in range(200)]
    assert read_classes(",".join(many)) == many  # longer than a file's name may be
    assert (len(read_classes("cityscapes")), len(read_classes("camvid"))) == (19, 11)
    scenes = read_classes("ade20k")
    assert (len(scenes), scenes[0], scenes[12], scenes[149]) == (150, "wall", "person", "flag")


def test_a_single_name_is_that_of_the_class_beside_background(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_text("person\n")
    for source in ("person", str(file)):
        assert read_classes(source, binary=True) == ["background", "person"]
        with pytest.raises(DataError, match="needed are 2 to 255"):
            read_classes(source)


@pytest.mark.parametrize("source", ["0", "1", "256", "a,a"])
def test_spelt_out_lists_that_are_none(source: str) -> None:
    with pytest.raises(DataError):
        read_classes(source)
