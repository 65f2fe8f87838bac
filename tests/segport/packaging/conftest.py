from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segport
from export.artifact.artifact import Artifact


@dataclass(frozen=True)
class Made:
    """Artifacts of one network, pictures that are no squares of its size, and a package of both."""

    artifacts: dict[str, Path]
    pictures: Path
    package: Path


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four soft pictures of several sizes."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(3)
    for number, size in enumerate(((140, 90), (66, 120), (65, 65), (80, 31))):
        small = Image.fromarray(rng.integers(0, 256, (7, 6, 3), dtype=np.uint8))
        small.resize(size, Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def made(tiny: Artifact, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """What is made of the tiny network; read only."""
    folder = tmp_path_factory.mktemp("made")
    artifacts = {"fp32": tiny.path}
    for precision, target in (("fp16", None), ("int8", "cpu"), ("int8", "npu")):
        found = segport.quantize(
            tiny, precision, images=pictures, target=target, folder=folder, force=True
        )  # fmt: skip
        artifacts[found.manifest.id] = found.path
    out = folder / "package"
    segport.package(list(artifacts.values()), out, samples=pictures)
    return Made(artifacts, pictures, out)
