"""Pictures for the programs that come with a package, and what `segport predict` makes of them."""

import subprocess
from collections.abc import Sequence
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


def assert_masks_of_predict(program: Sequence[str | Path], tiny: Path, folder: Path) -> None:
    """`PROGRAM NETWORK PICTURE MASK` writes the masks that `segport predict` does, to the pixel."""
    mask = folder / "mask.pgm"
    for network in (tiny, mask_only(folder)):
        for shape in SHAPES:
            picture = picture_of(folder, shape)
            subprocess.run([*program, network, picture, mask], check=True, timeout=60)
            wanted = predicted(network, picture, folder / "masks")
            assert np.array_equal(np.asarray(Image.open(mask)), wanted), (network.name, shape)


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
