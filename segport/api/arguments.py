"""What users type as paths, artifacts and images, as what the stages take."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from export.common.errors import UsageError

if TYPE_CHECKING:
    from export.artifact.artifact import Artifact

AnyPath = str | PathLike[str]
Data = AnyPath | Iterable[Any]
"""A DATA string or folder, or images: arrays, PIL images, files, or pairs of one and its mask."""


def path_of(value: object, name: str) -> Path:
    """Return a path; raise UsageError for anything else."""
    if isinstance(value, str | PathLike):
        return Path(value)
    raise UsageError(f"{name}: give a path, not {type(value).__name__}")


def optional_path(value: object, name: str) -> Path | None:
    """Return a path, or None for None."""
    return None if value is None else path_of(value, name)


def artifact_of(value: object, name: str = "artifact") -> "Artifact":
    """Return an artifact, read from its file where `value` is a path."""
    from export.artifact.artifact import Artifact, load_artifact

    if isinstance(value, Artifact):
        return value
    if isinstance(value, str | PathLike):
        return load_artifact(Path(value))
    raise UsageError(
        f"{name}: give what segport.export returned or an .onnx file, not {type(value).__name__}"
    )


def artifacts_of(value: object) -> "list[Artifact]":
    """Return artifacts from one or from a sequence of them."""
    from export.artifact.artifact import Artifact

    if isinstance(value, Artifact | str | PathLike):
        return [artifact_of(value)]
    if isinstance(value, Sequence):
        return [artifact_of(item) for item in value]
    raise UsageError(f"artifacts: give a list of them, not {type(value).__name__}")


@contextmanager
def data_of(value: object, name: str) -> Iterator[str]:
    """Give DATA as the stages take it; images in memory become PNG files as long as they are used.

    Raises UsageError for what holds no images.
    """
    if isinstance(value, str | PathLike):
        yield str(value)
        return
    if not isinstance(value, Iterable) and not hasattr(value, "__getitem__"):
        raise UsageError(f"{name}: give DATA, a folder or images, not {type(value).__name__}")
    from export.common.files import scratch_folder

    with scratch_folder() as scratch:
        folder = scratch / "arrays"
        for index, item in enumerate(_each(value)):
            image, mask = item if isinstance(item, tuple) and len(item) == 2 else (item, None)
            where = f"{name}[{index}]"
            _write(image, folder / "images" / f"{index:05}.png", where)
            if mask is not None:
                _write(mask, folder / "masks" / f"{index:05}.png", f"mask of {where}")
        if not folder.exists():
            raise UsageError(f"{name}: holds no images")
        yield str(folder)


def _each(value: Any) -> Iterator[Any]:
    """Go through an iterable, or a data set that has a length and numbers alone, as torch's may."""
    if isinstance(value, Iterable) and not hasattr(value, "__len__"):
        yield from value
    else:
        yield from (value[index] for index in range(len(value)))


def _write(picture: Any, file: Path, where: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(picture, str | PathLike):
        try:
            shutil.copyfile(picture, file.with_suffix(Path(picture).suffix))
        except OSError as error:
            raise UsageError(f"{where}: cannot read {picture} ({error.strerror})") from error
        return
    if not isinstance(picture, Image.Image):
        picture = Image.fromarray(_pixels(picture, where))
    picture.save(file)


def _pixels(value: Any, where: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return uint8 (H, W) or (H, W, C) of an array or tensor, whose channels may come first."""
    array = np.asarray(value)
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype != np.uint8 or array.ndim not in (2, 3):
        raise UsageError(
            f"{where}: give uint8 of 0-255, (H, W, 3) or (H, W), before any normalisation; this is "
            f"{type(value).__name__} {array.dtype} {array.shape}"
        )
    return array
