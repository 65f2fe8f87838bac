"""Pictures for the programs that come with a package, and what `segport predict` makes of them."""

from pathlib import Path

import numpy as np
from PIL import Image

from export.artifact.image import synthetic_images
from tests.segport.command import segport

SHAPES = [(65, 65), (150, 90), (200, 170), (40, 70)]
"""The network's own, and others: taller, resized rows first, and smaller."""


def picture_of(folder: Path, shape: tuple[int, int]) -> Path:
    """Write a picture as PPM, and as PNG beside it."""
    file = folder / f"{shape[0]}x{shape[1]}.ppm"
    image = Image.fromarray(next(synthetic_images(1, shape, seed=shape[0])))
    image.save(file)
    image.save(file.with_suffix(".png"))
    return file


def predicted(artifact: Path, picture: Path, folder: Path) -> np.ndarray:
    """The mask that `segport predict` writes."""
    answer = segport(
        "predict", artifact, picture.with_suffix(".png"), "--runtime", "ort-cpu", "-o", folder
    )
    assert answer.code == 0, answer.err
    return np.asarray(Image.open(folder / f"{picture.stem}-mask.png"))


def mask_only(folder: Path) -> Path:
    """An artifact that gives a mask alone."""
    answer = segport(
        "export", "tests.networks:tiny", "--weights", "default", "--size", 65, 65,
        "--output", "mask", "--name", "only", "-o", folder,
    )  # fmt: skip
    assert answer.code == 0, answer.err
    return folder / "only-fp32-mask.onnx"
