"""Count a data set by an engine, shard by shard, and go on where an earlier run ended."""

from pathlib import Path

from export.common.errors import ArtifactError
from export.common.progress import Stages
from export.workers.engines import ENGINES, Workers
from validate.counting.evaluation import Evaluation
from validate.counting.job import Job
from validate.counting.kept import KeptRows
from validate.counting.shards import cut
from validate.data.items import Dataset

STAGE = "validate"


def count(
    job: Job, dataset: Dataset, folder: Path, workers: Workers, progress: Stages
) -> dict[str, Evaluation]:
    """Return what `evaluate` does, bit for bit, whoever counts what and in which order.

    Rows are kept in `folder` until `remove_rows`; those of an earlier run of the same job are not
    counted again. Raises DataError for an unusable image, and one that ends its worker time and
    again; ArtifactError where rows cannot be kept.
    """
    kept = KeptRows(folder, job.digest)
    shards = cut(dataset.items)
    todo = [shard for shard in shards if kept.counts(shard) is None]
    total = len(dataset.items)
    done = total - sum(len(shard.items) for shard in todo)
    if done:
        progress.note(f"{done} of {total} images were counted by an earlier run, which goes on")
    progress(STAGE, done, total)
    if todo:
        for shard, packed in ENGINES[workers.engine].run(job, todo, workers, progress.note):
            kept.keep(shard, packed)
            done += len(shard.items)
            progress(STAGE, done, total)
    evaluations = {key: Evaluation() for key in job.ids}
    for shard in shards:
        found = kept.counts(shard)
        if found is None:
            raise ArtifactError(
                f"{folder}: the rows from {shard.at(0)} on are gone or changed; the same command "
                "counts them again"
            )
        ids = [item.id for item in shard.items]
        for key, evaluation in evaluations.items():
            evaluation.extend(ids, found[key])
    return evaluations
