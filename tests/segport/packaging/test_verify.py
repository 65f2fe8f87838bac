"""`segport verify`, and the verify.py of a package: what they find, and what they refuse."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
import pytest
from PIL import Image

import segport
from export.common.errors import SegportError
from segport.packaging.inside.verify import checksums, digest, files_in
from tests.segport.command import segport as command
from tests.segport.packaging.conftest import Made

CHANGES = 100
BY_SCRIPT = ("missing", "link", "later schema")
"""Damages that verify.py is shown, too: it is the module that the command uses."""


@pytest.fixture
def package(made: Made, tmp_path: Path) -> Path:
    """A copy of the package, to change."""
    return shutil.copytree(made.package, tmp_path / "package")


def _list_anew(folder: Path) -> None:
    """What somebody does who changes a package and its checksums, too."""
    (folder / "SHA256SUMS").unlink()
    digests = {path: digest(folder / path) for path in files_in(folder)}
    (folder / "SHA256SUMS").write_text(checksums(digests))


def _change_mask(folder: Path, pixels: int) -> None:
    """Let a sample expect another class at `pixels` places."""
    file = folder / "samples/1-int8.png"
    with Image.open(file) as picture:
        mask, palette = np.array(picture), picture.getpalette()
    flat = mask.reshape(-1)
    flat[:pixels] = (flat[:pixels] + 1) % 21
    changed = Image.fromarray(mask)
    assert palette is not None
    changed.putpalette(palette)
    changed.save(file)
    _list_anew(folder)


def _script(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, folder / "verify.py"]
    return subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=120)


def test_a_sound_package_is_exact_by_command_and_by_script(made: Made) -> None:
    answer = command("verify", made.package)
    assert answer.code == 0
    assert answer.out.rstrip().endswith("exact: every variant computes what was promised")
    document = command("verify", made.package, "--json").json
    assert document["verdict"] == "exact" and document["signature"] == "none"
    on_cpu = [row for row in document["variants"] if row["provider"] == "CPUExecutionProvider"]
    assert {row["variant"] for row in on_cpu} == {"fp32", "fp16", "int8", "int8@npu"}
    sizes = [Image.open(made.package / f"samples/{number}.png").size for number in (1, 2, 3)]
    pixels = sum(width * height for width, height in sizes)
    assert all(row["pixels"] == pixels and row["wrong"] == 0 for row in on_cpu)
    assert document["best"] in ("fp32", "int8")  # what is made for this machine's CPU
    done = _script(made.package)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == answer.out.splitlines()[-1]
    assert not list(made.package.rglob("__pycache__"))


def test_the_script_imports_nothing_of_segport(made: Made) -> None:
    for name in ("verify.py", "infer.py"):
        text = (made.package / name).read_text()
        assert "from segport" not in text and "import segport" not in text


@pytest.mark.parametrize(
    ("pixels", "verdict", "code"), [(1, "equal", 0), (24, "equal", 0), (25, "wrong", 1)]
)
def test_few_pixels_may_differ_and_many_may_not(
    package: Path, pixels: int, verdict: str, code: int
) -> None:
    """The pictures have 140 * 90 + 66 * 120 + 65 * 65 = 24,745 pixels; a thousandth may differ."""
    _change_mask(package, pixels)
    answer = command("verify", package, "--json")
    assert answer.code == code and answer.json["verdict"] == verdict
    wrong = {row["variant"]: row["wrong"] for row in answer.json["variants"]}
    assert wrong["int8"] == pixels and wrong["fp32"] == 0
    if code:
        done = _script(package)
        assert done.returncode == code
        assert done.stdout.splitlines()[-1].startswith(verdict)


def test_a_swapped_model_is_wrong_even_with_new_checksums(package: Path) -> None:
    shutil.copy(package / "onnx/model_int8-npu.onnx", package / "onnx/model_int8.onnx")
    _list_anew(package)
    assert command("verify", package).code == 1


def test_every_changed_byte_is_seen(package: Path) -> None:
    """100 bytes anywhere, drawn by place in all files together: three quarters are a model's."""
    drawn = random.Random(21)
    sizes = {path: (package / path).stat().st_size for path in files_in(package)}
    for _ in range(CHANGES):
        path, place = _at(sizes, drawn.randrange(sum(sizes.values())))
        _refused_with_another_byte(package, package / path, place, drawn.randrange(1, 256))
    for place in drawn.sample(range(sizes["SHA256SUMS"]), CHANGES // 2):
        _refused_with_another_byte(package, package / "SHA256SUMS", place, drawn.randrange(1, 256))
    assert segport.verify(package).verdict == "exact"


def _at(sizes: dict[str, int], place: int) -> tuple[str, int]:
    """The file, and the place in it, of the byte at `place` of all files in a row."""
    for path, size in sizes.items():
        if place < size:
            return path, place
        place -= size
    raise AssertionError(place)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["zip", "oci"])
def test_every_changed_byte_of_a_packed_one_is_seen(made: Made, tmp_path: Path, form: str) -> None:
    out = tmp_path / ("package.zip" if form == "zip" else "oci")
    layout = "oci" if form == "oci" else "hub"
    segport.package([made.artifacts["int8"]], out, samples=made.pictures, layout=layout)
    drawn = random.Random(22)
    paths = [out] if form == "zip" else [path for path in out.rglob("*") if path.is_file()]
    texts = [path for path in paths if path.suffix == ".json" or path.name == "oci-layout"]
    for file in (*drawn.choices(paths, k=CHANGES // 2), *texts * 20):
        place = drawn.randrange(file.stat().st_size)
        _refused_with_another_byte(out, file, place, drawn.randrange(1, 256))
    if form == "zip":  # its own records lie at the end
        size = out.stat().st_size
        for place in drawn.sample(range(size - 2000, size), 60):
            _refused_with_another_byte(out, out, place, drawn.randrange(1, 256))
    assert segport.verify(out).verdict == "exact"


def _refused_with_another_byte(package: Path, file: Path, place: int, added: int) -> None:
    with file.open("r+b") as opened:
        opened.seek(place)
        (before,) = opened.read(1)
        opened.seek(place)
        opened.write(bytes([before ^ added]))
    with pytest.raises(SegportError, match=str(package)):
        segport.verify(package, progress=False)
    with file.open("r+b") as opened:
        opened.seek(place)
        opened.write(bytes([before]))


def _missing(folder: Path) -> None:
    (folder / "samples/1.png").unlink()


def _additional(folder: Path) -> None:
    (folder / "onnx/more.onnx").write_text("x")


def _linked(folder: Path) -> None:
    data = (folder / "infer.py").read_bytes()
    outside = folder.parent / "infer.py"
    outside.write_bytes(data)
    (folder / "infer.py").unlink()
    (folder / "infer.py").symlink_to(outside)


def _linked_folder(folder: Path) -> None:
    shutil.move(folder / "samples", folder.parent / "samples")
    (folder / "samples").symlink_to(folder.parent / "samples")


def _piped(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def _colliding(folder: Path) -> None:
    (folder / "INFER.py").write_text("x")
    _append(folder, "INFER.py")


def _climbing(folder: Path) -> None:
    (folder.parent / "outside.txt").write_text("x")
    _append(folder, "../outside.txt")


def _absolute(folder: Path) -> None:
    _append(folder, "/etc/hostname")


def _append(folder: Path, path: str) -> None:
    sums = folder / "SHA256SUMS"
    rows = {line[66:]: line[:64] for line in sums.read_text().splitlines()}
    sums.write_text(checksums(rows | {path: "0" * 64}))


def _edit_index(change: Callable[[dict[str, object]], None]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        index = json.loads((folder / "manifest.json").read_text())
        change(index)
        (folder / "manifest.json").write_text(json.dumps(index))
        _list_anew(folder)

    return edit


def _of_later_schema(index: dict[str, object]) -> None:
    index["additional_metadata"]["segport"]["schema"] = 2  # type: ignore[index]


def _of_later_onnxruntime(index: dict[str, object]) -> None:
    index["schema_version"] = "2.0"


def _of_others(index: dict[str, object]) -> None:
    del index["additional_metadata"]


def _reaching_out(index: dict[str, object]) -> None:
    index["components"]["tiny"]["variants"]["int8"]["variant_directory"] = "../.."  # type: ignore[index]


def _without_samples(index: dict[str, object]) -> None:
    index["additional_metadata"]["segport"]["samples"] = []  # type: ignore[index]


def _without_variants(index: dict[str, object]) -> None:
    index["components"] = {}


def _of_odd_types(index: dict[str, object]) -> None:
    index["additional_metadata"]["segport"]["samples"] = [{"picture": 3, "masks": []}]  # type: ignore[index]


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (_missing, "'samples/1.png' is missing"),
    "additional": (_additional, "'onnx/more.onnx' is not"),
    "link": (_linked, "is a link"),
    "linked folder": (_linked_folder, "is a link"),
    "pipe": (_piped, "no regular file"),
    "colliding": (_colliding, "differ in case only"),
    "climbing": (_climbing, "no path inside a package"),
    "absolute": (_absolute, "no path inside a package"),
    "later schema": (_edit_index(_of_later_schema), "schema 2, this verifies 1"),
    "later onnxruntime": (_edit_index(_of_later_onnxruntime), "this verifies"),
    "others'": (_edit_index(_of_others), "not that of a package of Segport"),
    "reaching out": (_edit_index(_reaching_out), "is not there"),
    "no samples": (_edit_index(_without_samples), "no variants or no samples"),
    "no variants": (_edit_index(_without_variants), "do not work"),
    "odd types": (_edit_index(_of_odd_types), "do not work"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_said_in_one_line(kind: str, package: Path) -> None:
    damage, said = DAMAGE[kind]
    damage(package)
    answer = command("verify", package)
    assert answer.code == 2 and answer.out == ""
    (line,) = answer.errors
    assert said in line and str(package) in line
    if kind in BY_SCRIPT:
        done = _script(package)
        assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1


def _zip(file: Path, name: str, data: bytes = b"x", kind: int = 0, mode: int = 0o100644) -> None:
    entry = ZipInfo(name)
    entry.compress_type, entry.external_attr = kind, mode << 16
    with ZipFile(file, "w") as archive:
        archive.writestr(entry, data)


BAD_ZIPS: dict[str, tuple[Callable[[Path], None], str]] = {
    "climbing": (lambda file: _zip(file, "../out.txt"), "no path inside"),
    "absolute": (lambda file: _zip(file, "/tmp/out.txt"), "no path inside"),
    "drive": (lambda file: _zip(file, "C:\\out.txt"), "no path inside"),
    "bomb": (lambda file: _zip(file, "a", bytes(1 << 24), ZIP_DEFLATED), "is compressed"),
    "link": (lambda file: _zip(file, "a", b"/etc/passwd", mode=0o120777), "a link"),
    "folder": (lambda file: _zip(file, "a/"), "no path inside"),
    "no zip": (lambda file: file.write_bytes(b"PK\x03\x04 and then nothing"), "no zip file"),  # type: ignore[dict-item, return-value]
    "other zip": (lambda file: _zip(file, "readme.txt"), "this is no package"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_ZIPS)
def test_a_bad_zip_is_refused_and_writes_nothing(kind: str, tmp_path: Path) -> None:
    write, said = BAD_ZIPS[kind]
    file = tmp_path / "package.zip"
    write(file)
    answer = command("verify", file)
    assert answer.code == 2 and len(answer.errors) == 1
    assert said in answer.errors[0] or "holds bytes that are none of its files'" in answer.errors[0]
    assert [path.name for path in tmp_path.iterdir()] == ["package.zip"]
    assert not (tmp_path.parent / "out.txt").exists()


def test_a_zip_whose_files_overlap_is_refused(made: Made, tmp_path: Path) -> None:
    """The bomb that needs no compression: one entry's bytes named by many."""
    out = tmp_path / "package.zip"
    segport.package([made.artifacts["int8"]], out, samples=made.pictures)
    with ZipFile(out, "a") as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
        for number in range(5):
            again = ZipInfo(f"more/{number}")
            for field in ("header_offset", "file_size", "compress_size", "CRC"):
                setattr(again, field, getattr(largest, field))
            archive.filelist.append(again)
        archive._didModify = True  # type: ignore[attr-defined]
    answer = command("verify", out)
    assert answer.code == 2 and "more than its own size" in answer.err


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    assert "no such file or folder" in command("verify", tmp_path / "nothing").err
    (tmp_path / "empty").mkdir()
    assert "this is no package" in command("verify", tmp_path / "empty").err
