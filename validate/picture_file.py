"""Thumbnails in one file beside a result: a zip of ordinary JPEG and PNG files."""

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from export.classes import palette
from export.errors import DataError
from validate.result import Result
from validate.thumbnail import Classes, Thumbnail

_INDEX = "index.json"
_DAMAGED = (BadZipFile, KeyError, TypeError, ValueError, OSError)


def write_pictures(thumbnails: Sequence[Thumbnail], result: Result, file: Path) -> None:
    """Write the zip; the same thumbnails give the same bytes."""
    entries = []
    with ZipFile(file, "w") as archive:
        for number, one in enumerate(thumbnails, start=1):
            names = _names(number, one)
            _add(archive, names["image"], jpeg(one.image))
            if one.label is not None:
                _add(archive, names["label"], indexed_png(one.label))
            for key, classes in one.predicted.items():
                _add(archive, names["predicted"][key], indexed_png(classes))
            entries.append({"id": one.id, "agreement": dict(one.agreement), **names})
        index = {"result": _identity(result), "pictures": entries}
        _add(archive, _INDEX, (json.dumps(index, indent=1) + "\n").encode())


def read_pictures(result: Result, file: Path) -> list[Thumbnail]:
    """Return the thumbnails stored for `result`, worst first.

    Raises DataError when the file is damaged or was made with another result.
    """
    try:
        with ZipFile(file) as archive:
            index = json.loads(archive.read(_INDEX))
            if index["result"] != _identity(result):
                raise DataError(f"{file}: holds the pictures of another result; remove it")
            return [_read(archive, entry, result.reference) for entry in index["pictures"]]
    except _DAMAGED as error:
        raise DataError(
            f"{file}: damaged ({error}); 'segport validate --pictures N' makes it"
        ) from error


def jpeg(image: NDArray[np.uint8]) -> bytes:
    """Return an RGB image, uint8 (h, w, 3), as JPEG."""
    data = BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=75, optimize=True)
    return data.getvalue()


def indexed_png(classes: Classes, colours: list[tuple[int, int, int]] | None = None) -> bytes:
    """Return a palette PNG whose pixel values are `classes`, in VOC's colours if none are given."""
    image = Image.fromarray(classes)
    image.putpalette([value for colour in colours or palette(256) for value in colour])
    data = BytesIO()
    image.save(data, "PNG", optimize=True)
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


def _read(archive: ZipFile, entry: dict[str, Any], reference: str) -> Thumbnail:
    def pixels(name: str, mode: str) -> NDArray[np.uint8]:
        with Image.open(BytesIO(archive.read(name))) as image:
            return np.asarray(image if image.mode == mode else image.convert(mode))

    label = entry["label"]
    others = [key for key in entry["predicted"] if key != reference]
    return Thumbnail(
        id=str(entry["id"]),
        agreement={key: float(entry["agreement"][key]) for key in others},
        image=pixels(entry["image"], "RGB"),
        label=None if label is None else pixels(label, "P"),
        predicted={key: pixels(entry["predicted"][key], "P") for key in (reference, *others)},
    )
