"""Masks and overlays of one artifact, at each image's own size."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from export.artifact import Artifact
from export.errors import DataError
from export.files import check_writable, new_files
from validate.datasets import Dataset, Item, open_dataset
from validate.evaluation import at_size
from validate.protocols import DEFAULT_PROTOCOL
from validate.runtimes import open_runtime
from validate.samples import Preparation, ahead, read_image

OVERLAY_ALPHA = 0.55
"""Weight of the class colour over the image; background pixels are left as they are."""


@dataclass(frozen=True)
class Prediction:
    """Files written for one image, and the classes found in it, most pixels first."""

    id: str
    mask: Path
    overlay: Path
    classes: list[str]


def predict(
    artifact: Artifact,
    source: Path,
    folder: Path,
    *,
    runtime: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Prediction]:
    """Write `<id>-mask.png` (palette, class indices) and `<id>-overlay.png` per image.

    `source` is an image or a folder of images. Images are squashed to the artifact's size
    and predictions resized back. Raises DataError for images that cannot be read.
    """
    check_writable(folder)
    dataset = _images(source)
    preparation = Preparation.for_artifact(artifact.manifest, DEFAULT_PROTOCOL)
    opened = open_runtime(artifact, runtime)
    colours = np.asarray(artifact.manifest.palette, np.uint8)
    names = artifact.manifest.classes
    written = []
    prepared = ahead(lambda item: (read_image(item)[0], preparation.sample(item)), dataset.items)
    for done, (picture, sample) in enumerate(prepared, start=1):
        outputs = opened.engine.outputs(sample.image)
        classes = at_size(outputs, (picture.height, picture.width))
        targets = [folder / f"{sample.id}-{kind}.png" for kind in ("mask", "overlay")]
        with new_files(*targets) as (mask_file, overlay_file):
            palette_image(classes, colours).save(mask_file)
            Image.fromarray(overlay(np.asarray(picture), classes, colours)).save(overlay_file)
        counts = np.bincount(classes.reshape(-1), minlength=len(names))
        found = [names[c] for c in np.argsort(-counts, kind="stable") if counts[c]]
        written.append(Prediction(sample.id, targets[0], targets[1], found))
        progress(done, len(dataset.items))
    return written


def palette_image(classes: NDArray[np.uint8], colours: NDArray[np.uint8]) -> Image.Image:
    """Return a palette PNG whose pixel values are the class indices, uint8 (H, W)."""
    image = Image.fromarray(classes)
    image.putpalette(colours.reshape(-1).tolist())
    return image


def overlay(
    picture: NDArray[np.uint8], classes: NDArray[np.uint8], colours: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Blend class colours into an RGB image, uint8 (H, W, 3); class 0 stays untouched."""
    blended = (1 - OVERLAY_ALPHA) * picture + OVERLAY_ALPHA * colours[classes]
    shown = np.where(classes[..., None] > 0, blended, picture)
    return np.rint(shown).astype(np.uint8)


def _images(source: Path) -> Dataset:
    if source.is_file():
        return Dataset(source.name, "all", (Item(source.stem, source, None),))
    if not source.exists():
        raise DataError(f"{source}: no such image or folder")
    return open_dataset(str(source), "val", masks=False)
