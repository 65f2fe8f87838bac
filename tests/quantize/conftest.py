from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from export.artifact.artifact import Artifact
from quantize.quantization import quantize
from quantize.settings import Settings
from validate.data.datasets import open_dataset
from validate.samples.samples import Preparation, Samples


@pytest.fixture(scope="session")
def samples(tiny: Artifact, voc: Path) -> Samples:
    """Four calibration images for `tiny`."""
    dataset = open_dataset(f"{voc}:train", "train", masks=False)
    return Samples(dataset, Preparation.for_artifact(tiny.manifest, "squash"))


@pytest.fixture(scope="session")
def made_for(
    tiny: Artifact, samples: Samples, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Artifact]:
    """`made_for(target)`: `tiny` in int8 for it, made once; read only."""
    folder = tmp_path_factory.mktemp("made_for")

    @cache
    def make(target: str) -> Artifact:
        settings = Settings(target=target)
        return quantize(tiny, "int8", folder, samples=samples, settings=settings)

    return make
