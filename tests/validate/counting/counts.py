"""What is counted in tests, and the digest that tells equal counts."""

from io import BytesIO
from pathlib import Path

from export.common.progress import Stages
from export.workers.engines import Workers
from validate.counting.evaluation import Evaluation
from validate.counting.job import Job
from validate.counting.sharded import count
from validate.data.items import Dataset
from validate.result.evidence import write_evidence

IMAGES = 40
"""Shards of 16, 16 and 8."""


class Said(Stages):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.done: list[int] = []

    def __call__(self, name: str, done: int, total: int) -> None:
        if total:
            assert total == IMAGES
            self.done.append(done)

    def note(self, text: str) -> None:
        self.lines.append(text)


def digest_of(found: dict[str, Evaluation], dataset: Dataset) -> str:
    """The digest of counts, of which there is a row for every image."""
    evidence = {key: one.evidence() for key, one in found.items()}
    assert evidence["fp32"].against is not None
    assert len(evidence["fp32"].against) == len(dataset.items)
    return write_evidence(evidence, [item.id for item in dataset.items], BytesIO())


def counted(job: Job, dataset: Dataset, folder: Path, workers: Workers) -> tuple[str, Said]:
    """Count; return the digest and what was said."""
    said = Said()
    found = count(job, dataset, folder, workers, said)
    return digest_of(found, dataset), said
