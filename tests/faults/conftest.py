import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from export.artifact.artifact import Artifact
from tests.faults.job import RECIPE, Job, contents


@pytest.fixture(scope="session")
def source(
    tiny: Artifact, make_voc: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A recipe and its data; read only."""
    folder = tmp_path_factory.mktemp("source")
    shutil.copy(tiny.path, folder / "net.onnx")
    make_voc(folder / "voc")
    (folder / "recipe.toml").write_text(RECIPE)
    return folder


@pytest.fixture
def job(source: Path, tmp_path: Path) -> Job:
    return Job(source, tmp_path / "job")


@pytest.fixture(scope="session")
def undisturbed(
    source: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, bytes], float]:
    """What a run that nothing happened to wrote, and the seconds it took."""
    job = Job(source, tmp_path_factory.mktemp("undisturbed"))
    start = time.monotonic()
    ended = job.run()
    assert (ended.code, ended.errors) == (0, [])
    assert job.temporaries() == []
    found = contents(job.out)
    assert set(found) == {
        *(f"net-{kind}.{end}" for kind in ("fp32", "fp16", "int8") for end in ("onnx", "json")),
        "confusion.npz",
    }
    return found, time.monotonic() - start
