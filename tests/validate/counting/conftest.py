"""A job on 40 images, what it has to count, and workers to count it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from export.artifact.artifact import Artifact
from export.workers.engines import Workers
from tests.cluster import head
from tests.validate.counting.counts import IMAGES, digest_of
from validate.counting.evaluation import evaluate
from validate.counting.job import File, Job
from validate.data.datasets import open_dataset
from validate.data.items import Dataset
from validate.samples.samples import Preparation


@pytest.fixture(scope="package")
def dataset(tmp_path_factory: pytest.TempPathFactory, make_voc: Callable[..., Path]) -> Dataset:
    root = make_voc(tmp_path_factory.mktemp("many") / "VOC2012", val=IMAGES)
    return open_dataset(str(root), "val")


@pytest.fixture(scope="package")
def job(tiny: Artifact) -> Job:
    preparation = Preparation.for_artifact(tiny.manifest, "squash")
    files = {"fp32": File(tiny.path, tiny.manifest.sha256, "ort-cpu")}
    return Job(files, "fp32", preparation, tiny.manifest)


@pytest.fixture(scope="package")
def wanted(job: Job, dataset: Dataset) -> str:
    """The digest of what one loop over all images counts, without shards and workers."""
    with job.opened() as runtimes:
        return digest_of(evaluate(runtimes, "fp32", dataset, job.preparation), dataset)


@pytest.fixture(scope="package")
def cluster() -> Iterator[str]:
    pytest.importorskip("ray")
    with head() as address:
        yield address


@pytest.fixture(params=["processes", pytest.param("ray", marks=pytest.mark.slow)])
def two(request: pytest.FixtureRequest) -> Workers:
    """Two workers of either kind."""
    if request.param == "processes":
        return Workers("processes", 2, seconds=30)
    return Workers("ray", 2, seconds=30, address=request.getfixturevalue("cluster"))
