"""infer.cpp, built by its CMakeLists.txt: the masks of `segport predict`, to the pixel."""

import subprocess
from pathlib import Path

import onnxruntime
import pytest

import segport
from export.artifact.artifact import Artifact
from tests.conftest import CPP_HEADERS
from tests.segport.packaging.pictures import assert_masks_of_predict

TEMPLATES = Path(segport.__file__).parent / "packaging/inside"
pytestmark = [pytest.mark.slow, pytest.mark.cpp]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, without warnings, against the library that the wheel of onnxruntime holds."""
    folder = tmp_path_factory.mktemp("cpp")
    (library,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")
    (folder / "lib").mkdir()
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / "lib" / name).symlink_to(library)
    (folder / "include").symlink_to(CPP_HEADERS)
    for command in (
        ["cmake", "-S", TEMPLATES, "-B", folder / "build", f"-DONNXRUNTIME_ROOT={folder}",
         f"-DJSON_INCLUDE={CPP_HEADERS}", "-DCMAKE_CXX_FLAGS=-Werror"],
        ["cmake", "--build", folder / "build"],
    ):  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "build/infer"


def test_masks_are_those_of_predict(program: Path, tiny: Artifact, tmp_path: Path) -> None:
    assert_masks_of_predict([program], tiny.path, tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x89PNG", "not a binary PPM of 8 bits (P6)"),
        (b"P6\n65 65\n255\nshort", "ends before its last pixel"),
        (b"P6\n65 65\n65535\n", "not a binary PPM of 8 bits (P6)"),
        (b"P6\n-5 65\n255\n", "too large"),
    ],
)
def test_a_damaged_picture_is_one_line(
    program: Path, tiny: Artifact, tmp_path: Path, content: bytes, reason: str
) -> None:
    picture = tmp_path / "picture.ppm"
    picture.write_bytes(content)
    done = subprocess.run(
        [program, tiny.path, picture, tmp_path / "mask.pgm"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, f"infer: {picture}: {reason}\n")
    assert not (tmp_path / "mask.pgm").exists()
