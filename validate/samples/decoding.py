"""Decode untrusted pictures: sized by their headers before they are decoded."""

import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from PIL import Image

from export.common.errors import DataError, first_line
from export.common.files import read_file
from export.common.memory import refuse_beyond
from export.common.remote import RemotePath

_BYTES_PER_PIXEL = 48
"""What a pixel may take while its picture is prepared and drawn on: four bytes in PIL, and a
dozen pictures or copies of one that are being read, inferred and written at the same time."""

_PROGRAMS = frozenset({"EPS"})
"""Formats that PIL has another program (Ghostscript) interpret."""

# refuse_beyond decides; PIL would also print a warning, for what memory is enough for
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def open_picture(source: Path | BytesIO) -> Image.Image:
    """Open a picture without decoding it.

    Raises DataError for what is no picture, or one that memory is not enough for.
    """
    if isinstance(source, RemotePath):
        source = BytesIO(read_file(source))
    elif isinstance(source, Path) and not source.is_file():
        raise DataError("no such file, or not a regular one")
    try:
        picture = Image.open(source)
    except Exception as error:  # PIL's decoders raise whatever damaged bytes provoke
        raise DataError(first_line(error)) from error
    if picture.format in _PROGRAMS:
        raise DataError(f"{picture.format} is a program, not a picture")
    refuse_beyond(
        picture.width * picture.height * _BYTES_PER_PIXEL,
        f"a picture of {picture.width}x{picture.height} pixels",
    )
    return picture


def decode(
    picture: Image.Image, convert: Callable[[Image.Image], Image.Image] = lambda picture: picture
) -> Image.Image:
    """Return `convert` of the decoded picture, and close its file.

    `convert` does nothing but call PIL. Raises DataError where the picture is damaged.
    """
    try:
        with picture:
            picture.load()
            return convert(picture)
    except Exception as error:  # PIL's decoders raise whatever damaged bytes provoke
        raise DataError(first_line(error)) from error
