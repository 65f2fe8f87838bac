"""What `validate.judging.comparison` hands to workers, and what it looks at itself afterwards."""

from collections.abc import Mapping
from dataclasses import replace

from export.artifact.artifact import Artifact
from validate.counting.evaluation import Evaluation, evaluate
from validate.counting.job import File, Job
from validate.data.items import Dataset
from validate.judging.conditions import Conditions
from validate.judging.worst_pictures import WorstPictures, worst_ids
from validate.runtime.engine import Runtime
from validate.runtime.runtimes import TORCH_ID
from validate.samples.samples import Preparation


def job_of(
    artifacts: Mapping[str, Artifact],
    runtimes: Mapping[str, Runtime],
    reference: str,
    preparation: Preparation,
    how: Conditions,
) -> Job:
    """Return what workers need to do what this process would; `runtimes` are those opened here."""
    assert how.workers is not None
    files = {
        key: File(artifact.path.resolve(), artifact.manifest.sha256, runtimes[key].name)
        for key, artifact in artifacts.items()
    }
    return Job(
        files,
        reference,
        preparation,
        next(iter(artifacts.values())).manifest,
        torch=how.reference if reference == TORCH_ID else None,
        weights=how.weights,
        allow_fallback=how.allow_fallback,
        threads=how.workers.threads,
    )


def see_worst(
    job: Job, evaluations: Mapping[str, Evaluation], dataset: Dataset, pictures: WorstPictures
) -> None:
    """Show `pictures` the images that it would keep: workers send counts, no pictures."""
    if not pictures.count:
        return
    evidence = {key: evaluation.evidence() for key, evaluation in evaluations.items()}
    ids = [item.id for item in dataset.items]
    chosen = worst_ids(evidence, job.reference, ids, pictures.count)
    items = tuple(item for item in dataset.items if item.id in chosen)
    if items:
        with job.opened() as runtimes:
            few = replace(dataset, items=items)
            evaluate(runtimes, job.reference, few, job.preparation, see=pictures.see)
