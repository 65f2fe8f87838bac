"""Write generated scenes to disk in the layout of PASCAL VOC."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from export.artifact.classes import MAX_CLASSES, palette
from segport.demo.scenes import scene
from validate.predict.overlays import palette_image

SERIES = {"train": 3, "val": 2}
"""Seed of the series of scenes behind each split. The network was trained on neither: series 1."""
_JPEG_QUALITY = (60, 95)


def write_dataset(
    root: Path,
    counts: Mapping[str, int],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write the first scenes of each split to `root`, laid out as VOC's VOC2012; return `root`.

    JPEGImages/<id>.jpg, SegmentationClass/<id>.png (palette; 0-20, 255 around objects) and
    ImageSets/Segmentation/<split>.txt. `counts` maps a split of SERIES to its number of scenes.
    The same call writes the same pixels every time.
    """
    images, masks = root / "JPEGImages", root / "SegmentationClass"
    lists = root / "ImageSets" / "Segmentation"
    for folder in (images, masks, lists):
        folder.mkdir(parents=True, exist_ok=True)
    colours = np.asarray(palette(MAX_CLASSES + 1), np.uint8)
    total, done = sum(counts.values()), 0
    for split, count in counts.items():
        names = [f"scene_{split}_{number:04d}" for number in range(count)]
        for number, name in enumerate(names):
            made = scene(number, SERIES[split])
            quality = np.random.default_rng([SERIES[split], number, 1]).integers(*_JPEG_QUALITY)
            Image.fromarray(made.image).save(images / f"{name}.jpg", quality=int(quality))
            palette_image(made.label, colours).save(masks / f"{name}.png")
            done += 1
            progress(done, total)
        (lists / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    return root
