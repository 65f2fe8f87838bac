from pathlib import Path

import pytest

from export.artifact.artifact import Artifact
from validate.data.datasets import open_dataset
from validate.samples.samples import Preparation, Samples


@pytest.fixture(scope="session")
def samples(tiny: Artifact, voc: Path) -> Samples:
    """Four calibration images for `tiny`."""
    dataset = open_dataset(f"{voc}:train", "train", masks=False)
    return Samples(dataset, Preparation.for_artifact(tiny.manifest, "squash"))
