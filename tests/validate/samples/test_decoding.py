import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.common.errors import DataError
from validate.data.datasets import Item
from validate.predict.frames import find_frames
from validate.samples.decoding import open_picture
from validate.samples.labels import read_mask
from validate.samples.samples import read_image


def _png_of_size(path: Path, width: int, height: int) -> Path:
    """A PNG whose header claims what its few bytes do not hold."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    data = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    return path


def test_a_picture_is_measured_by_the_memory_that_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.common.memory.free_memory", lambda: 4_000_000_000)
    bomb = _png_of_size(tmp_path / "bomb.png", 13_000, 13_000)  # 169 megapixels: 8.1 GB
    with pytest.raises(DataError, match=r"13000x13000 pixels needs 8\.1 GB of memory, 4\.0 GB"):
        read_image(Item("bomb", bomb, None))


def test_a_mask_of_another_size_is_not_decoded(tmp_path: Path) -> None:
    mask = _png_of_size(tmp_path / "mask.png", 9_000, 9_000)
    with pytest.raises(DataError, match="mask is 9000x9000, the image 4x4"):
        read_mask(Item("x", mask, mask), (4, 4), 21)


def test_no_other_program_interprets_a_picture(tmp_path: Path) -> None:
    data = BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(data, "EPS")
    (tmp_path / "x.jpg").write_bytes(data.getvalue())
    with pytest.raises(DataError, match="EPS is a program, not a picture"):
        open_picture(tmp_path / "x.jpg")


@pytest.mark.parametrize("source", ["/dev/zero", "x" * 5000])
def test_what_is_no_file_is_no_picture(source: str) -> None:
    with pytest.raises(DataError):
        find_frames(Path(source), Path("out"))
