"""Masks and overlays of one artifact, at each image's own size."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from export.artifact.artifact import Artifact
from export.common.errors import DataError
from export.common.files import check_writable, new_files
from export.common.progress import Progress, silent
from validate.counting.evaluation import at_size
from validate.predict.frames import Frame, Reader, find_frames
from validate.predict.overlays import legend, overlay, palette_image
from validate.runtime.engine import Outputs, Runtime
from validate.runtime.runtimes import open_runtime
from validate.samples.protocols import DEFAULT_PROTOCOL
from validate.samples.samples import Preparation, ahead

LEGEND_FILE = "legend.png"
_JPEG_QUALITY = 90
"""Of overlays: as PNG they cost a third of the inference and five times the disk."""


@dataclass(frozen=True)
class Prediction:
    """Files written for one picture; `classes` has percent of its pixels, the largest first."""

    id: str
    mask: Path
    overlay: Path
    classes: dict[str, float]


@dataclass(frozen=True)
class Unreadable:
    """A picture that could not be read, and why."""

    id: str
    error: str


@dataclass(frozen=True)
class Predictions:
    """What was written, in order, and what could not be; `runtime` is what ran."""

    legend: Path
    runtime: Runtime
    images: list[Prediction]
    failed: list[Unreadable]


@dataclass(frozen=True)
class _Prepared:
    frame: Frame
    picture: Image.Image
    tensor: NDArray[np.float32]


def predict(
    artifact: Artifact,
    source: Path,
    folder: Path,
    *,
    runtime: str | None = None,
    weights: str | None = None,
    allow_fallback: bool = False,
    progress: Progress = silent,
) -> Predictions:
    """Write `<id>-mask.png` (palette, class indices), `<id>-overlay.jpg` and `legend.png`.

    `source` is an image, a data set or a folder with its subfolders, whose structure the output
    keeps; animated images count as frames `<id>-0001` and on. Pictures are squashed to the
    artifact's size and predictions resized back. They are read ahead of inference and written
    behind it by a thread each, a few at a time. Pictures that cannot be read are left out and
    listed; raises DataError when that is all of them.
    """
    check_writable(folder)
    frames = find_frames(source, folder)
    opened = open_runtime(artifact, runtime, weights=weights, allow_fallback=allow_fallback)
    preparation = Preparation.for_artifact(artifact.manifest, DEFAULT_PROTOCOL)
    colours = np.asarray(artifact.manifest.palette, np.uint8)
    names = artifact.manifest.classes
    reader = Reader(preparation.mode)

    def prepared(frame: Frame) -> _Prepared | Unreadable:
        try:
            picture = reader(frame)
        except DataError as error:
            return Unreadable(frame.id, str(error))
        return _Prepared(frame, picture.convert("RGB"), preparation.tensor(picture))

    def inferred() -> Iterator[tuple[_Prepared, Outputs] | Unreadable]:
        for one in ahead(prepared, frames):
            if isinstance(one, Unreadable):
                yield one
            else:
                yield one, opened.engine.outputs(one.tensor)

    def written(one: tuple[_Prepared, Outputs] | Unreadable) -> Prediction | Unreadable:
        return one if isinstance(one, Unreadable) else _write(folder, *one, names, colours)

    images: list[Prediction] = []
    failed: list[Unreadable] = []
    for done, one in enumerate(ahead(written, inferred()), start=1):
        if isinstance(one, Unreadable):
            failed.append(one)
        else:
            images.append(one)
        progress(done, len(frames))
    reader.close()
    if not images:
        others = f" (nor {len(failed) - 1} others)" if failed[1:] else ""
        raise DataError(f"{failed[0].error}{others}")
    with new_files(folder / LEGEND_FILE) as (file,):
        legend(names, colours).save(file)
    return Predictions(folder / LEGEND_FILE, opened, images, failed)


def _write(
    folder: Path,
    prepared: _Prepared,
    outputs: Outputs,
    names: Sequence[str],
    colours: NDArray[np.uint8],
) -> Prediction:
    picture, id = prepared.picture, prepared.frame.id
    classes = at_size(outputs, (picture.height, picture.width))
    targets = [folder / f"{id}-mask.png", folder / f"{id}-overlay.jpg"]
    with new_files(*targets) as (mask_file, overlay_file):
        mask = palette_image(classes, colours)
        mask.save(mask_file)
        overlay(picture, mask).save(overlay_file, quality=_JPEG_QUALITY)
    counts = np.bincount(classes.reshape(-1), minlength=len(names))
    largest = [c for c in np.argsort(-counts, kind="stable") if counts[c]]
    shares = {names[c]: round(100 * float(counts[c]) / classes.size, 3) for c in largest}
    return Prediction(id, targets[0], targets[1], shares)
