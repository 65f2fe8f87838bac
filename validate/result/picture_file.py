"""Thumbnails in one file beside a result: a zip of ordinary JPEG and PNG files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from export.artifact.classes import palette
from export.common.errors import DataError, first_line
from export.common.files import is_regular
from export.common.memory import refuse_beyond
from validate.result.result import Result
from validate.samples.thumbnail import Classes, Thumbnail

_INDEX = "index.json"


@dataclass(frozen=True)
class Picture:
    """A stored thumbnail: its files as they are, and the class maps (h, w) they hold.

    `size` is (width, height); `agreement` as in `Thumbnail`. The reference comes first.
    """

    id: str
    agreement: Mapping[str, float]
    size: tuple[int, int]
    image_file: bytes
    label_file: bytes | None
    predicted_files: Mapping[str, bytes]
    label: Classes | None
    predicted: Mapping[str, Classes]


def write_pictures(thumbnails: Sequence[Thumbnail], result: Result, file: Path) -> None:
    """Write the zip; the same thumbnails give the same bytes."""
    entries = []
    with ZipFile(file, "w") as archive:
        for number, thumbnail in enumerate(thumbnails, start=1):
            names = _names(number, thumbnail)
            _add(archive, names["image"], _jpeg(thumbnail.image))
            if thumbnail.label is not None:
                _add(archive, names["label"], indexed_png(thumbnail.label))
            for key, classes in thumbnail.predicted.items():
                _add(archive, names["predicted"][key], indexed_png(classes))
            entries.append({"id": thumbnail.id, "agreement": dict(thumbnail.agreement), **names})
        index = {"result": _identity(result), "pictures": entries}
        _add(archive, _INDEX, (json.dumps(index, indent=1) + "\n").encode())


def read_pictures(result: Result, file: Path) -> list[Picture]:
    """Return the thumbnails stored for `result`, worst first.

    Raises DataError when the file is damaged or was made with another result.
    """
    if not is_regular(file):
        raise DataError(f"{file}: no such file, or not a regular one")
    try:
        with ZipFile(file) as archive:
            refuse_beyond(sum(member.file_size for member in archive.infolist()), str(file))
            index = json.loads(archive.read(_INDEX))
            if index["result"] != _identity(result):
                raise DataError(f"{file}: holds the pictures of another result; remove it")
            return [_read(archive, entry, result.reference) for entry in index["pictures"]]
    except DataError:
        raise
    # zipfile, zlib, Pillow and a changed index raise whatever a byte leads them to
    except Exception as error:
        raise DataError(
            f"{file}: damaged ({first_line(error)}); 'segport validate --pictures N' makes it"
        ) from error


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    """Return an RGB image, uint8 (h, w, 3), as JPEG."""
    data = BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=75, optimize=True)
    return data.getvalue()


def indexed_png(classes: Classes, colours: list[tuple[int, int, int]] | None = None) -> bytes:
    """Return a palette PNG whose pixel values are `classes`, in VOC's colours if none are given."""
    image = Image.fromarray(classes)
    image.putpalette([value for colour in colours or palette(256) for value in colour])
    data = BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def _add(archive: ZipFile, name: str, data: bytes) -> None:
    """Add a file without the time of day."""
    archive.writestr(ZipInfo(name), data)


def _names(number: int, one: Thumbnail) -> dict[str, Any]:
    """Return file names that need nothing of ids, which may hold anything."""
    stem = f"{number:03d}"
    return {
        "image": f"{stem}-image.jpg",
        "label": None if one.label is None else f"{stem}-label.png",
        "predicted": {key: f"{stem}-{key}.png" for key in one.predicted},
    }


def _identity(result: Result) -> dict[str, Any]:
    """Return what tells one validation from another."""
    return {
        "name": result.name,
        "protocol": result.protocol,
        "ids_sha256": result.dataset.ids_sha256,
        "artifacts": {a.id: a.sha256 for a in result.artifacts},
    }


def _read(archive: ZipFile, entry: dict[str, Any], reference: str) -> Picture:
    files: dict[str, str] = entry["predicted"]
    predicted = {key: archive.read(files[key]) for key in dict.fromkeys([reference, *files])}
    label = None if entry["label"] is None else archive.read(entry["label"])
    image = archive.read(entry["image"])
    with Image.open(BytesIO(image)) as opened:
        size = opened.size
    return Picture(
        id=str(entry["id"]),
        agreement={key: float(entry["agreement"][key]) for key in predicted if key != reference},
        size=size,
        image_file=image,
        label_file=label,
        predicted_files=predicted,
        label=None if label is None else _classes(label),
        predicted={key: _classes(png) for key, png in predicted.items()},
    )


def _classes(png: bytes) -> Classes:
    with Image.open(BytesIO(png), formats=["PNG"]) as image:
        return np.asarray(image, np.uint8)
