from pathlib import Path

import pytest
import torch

from export.artifact.artifact import Artifact
from export.onnx_export import export_model
from quantize.quantization import quantize
from quantize.settings import Settings
from tests.networks import tiny as tiny_network
from validate.data.datasets import open_dataset
from validate.samples.samples import Preparation, Samples


@pytest.fixture(scope="session")
def samples(tiny: Artifact, voc: Path) -> Samples:
    """The four training images of `voc`, prepared for `tiny`."""
    dataset = open_dataset(f"{voc}:train", "train", masks=False)
    return Samples(dataset, Preparation.for_artifact(tiny.manifest, "squash"))


@pytest.fixture(scope="session")
def int8(tiny: Artifact, samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """`tiny` in int8; not in `tiny`'s folder."""
    folder = tmp_path_factory.mktemp("int8")
    return quantize(tiny, "int8", folder, samples=samples, settings=Settings(target="cpu"))


@pytest.fixture(scope="session")
def fp16(tiny: Artifact, samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """`tiny` in fp16; not in `tiny`'s folder."""
    folder = tmp_path_factory.mktemp("fp16")
    return quantize(tiny, "fp16", folder, samples=samples)


@pytest.fixture(scope="session")
def half_io(tiny: Artifact, samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """`tiny` in fp16 with float16 inputs and outputs."""
    folder = tmp_path_factory.mktemp("half_io")
    return quantize(tiny, "fp16", folder, samples=samples, settings=Settings(io="fp16"))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of `tests.networks:tiny` as a file."""
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.pth"
    torch.save(tiny_network().state_dict(), path)
    return path


@pytest.fixture(scope="session")
def from_file(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The fp32 artifact exported from `checkpoint`."""
    folder = tmp_path_factory.mktemp("from_file")
    return export_model("tests.networks:tiny", str(checkpoint), folder, size=(65, 65), name="tiny")
