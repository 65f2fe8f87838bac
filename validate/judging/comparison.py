"""Artifacts against their reference, under one protocol on one image list."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from export.artifact.artifact import Artifact
from export.common.errors import UsageError
from export.common.files import check_writable, new_files
from export.common.progress import SILENT, Stages
from export.common.tables import Lazy
from export.common.versions import versions
from export.ort.sessions import cpu_facts, lacks_vnni
from validate.accumulation.names import refuse_without_fp16
from validate.counting.evaluation import evaluate
from validate.counting.kept import remove_rows
from validate.counting.sharded import count
from validate.data.datasets import open_dataset
from validate.data.items import Dataset, ids_digest
from validate.judging.conditions import USUAL, Conditions
from validate.judging.entry import Measured, entry
from validate.judging.figures import figures, images_of_classes
from validate.judging.loss import bootstrap_facts
from validate.judging.noise import measure_noise
from validate.judging.overlap import overlapping, refuse_overlap
from validate.judging.reference import refuse_mixed, with_reference
from validate.judging.second_size import at_second_size
from validate.judging.sharded import job_of, see_worst
from validate.judging.timing import known, measured
from validate.judging.worst_pictures import WorstPictures
from validate.result.evidence import Evidence, write_evidence
from validate.result.facts import AccumulationFacts, DatasetFacts
from validate.result.picture_file import write_pictures
from validate.result.result import CONFUSION_FILE, PICTURE_FILE, RESULT_FILE, Result
from validate.result.sealing import sealed
from validate.runtime.engine import Runtime
from validate.runtime.runtimes import TORCH_ID, open_runtime
from validate.runtime.torch_network import open_torch
from validate.samples.label_map import AS_THEY_ARE, LabelMap
from validate.samples.samples import Preparation
from validate.samples.thumbnail import Thumbnail
from validate.samples.traps import refuse_traps


def validate(
    artifacts: Sequence[Artifact],
    data: str,
    folder: Path,
    how: Conditions = USUAL,
    *,
    timed_with: Result | None = None,
    command: str | None = None,
    progress: Stages = SILENT,
) -> Result:
    """Compare artifacts with their reference on a data set; write result.json, confusion.npz.

    `pictures.zip` is there only if `how` asks for pictures. `timed_with` is a result under another
    protocol that was made just before: its latencies, which no protocol bears on, hold here too
    where files, runtimes and images are the same.
    Raises UsageError without a reference, ComparisonError for artifacts that do not belong
    together, DataError for unusable data or images the artifacts were made with.
    """
    if not artifacts:
        raise UsageError("validate: give at least one artifact")
    check_writable(folder)
    chosen, reference_id = with_reference(artifacts, how.reference)
    first = chosen[0].manifest
    refuse_mixed(chosen, how.protocol)
    dataset = open_dataset(data, "val", suffix=how.mask_suffix).first(how.limit).sorted()
    preparation = Preparation.for_artifact(
        first, how.protocol, how.labels or dataset.labels, fit=how.fit
    )
    if how.accumulate:
        refuse_without_fp16(chosen)
    shared = overlapping((a.manifest for a in chosen), dataset)
    refuse_overlap(shared, dataset, how.allow_overlap)
    refuse_traps(dataset, preparation, how.accepted)

    by_id = {artifact.manifest.id: artifact for artifact in chosen}
    runtimes: dict[str, Runtime] = {}
    if reference_id == TORCH_ID:
        runtimes[TORCH_ID] = open_torch(first, how.weights, how.reference or "torch")
    runtimes |= {
        key: open_runtime(
            artifact, how.runtime, weights=how.weights, allow_fallback=how.allow_fallback
        )
        for key, artifact in by_id.items()
    }
    worst = WorstPictures(how.pictures, reference_id, preparation)
    if how.workers is None:
        evaluations = evaluate(
            runtimes,
            reference_id,
            dataset,
            preparation,
            see=worst.see,
            progress=progress.later("validate"),
        )
    else:
        job = job_of(by_id, runtimes, reference_id, preparation, how)
        evaluations = count(job, dataset, folder, how.workers, progress)
        see_worst(job, evaluations, dataset, worst)
    timing = timed_with and known(timed_with, runtimes, by_id, dataset)
    timing = timing or measured(runtimes, by_id, dataset, preparation, progress.later("latency"))
    evidence = {key: evaluation.evidence() for key, evaluation in evaluations.items()}
    images = [item.id for item in dataset.items]
    evaluation = figures(evidence, reference_id, first.classes, images)
    noises = {
        key: measure_noise(
            artifact,
            runtimes[key].name,
            (reference_id, runtimes[reference_id]),
            dataset,
            preparation,
            first.classes,
            progress.later(f"noise of {key}"),
        )
        for key, artifact in by_id.items()
        if how.noise
    }
    sizes = at_second_size(
        runtimes,
        reference_id,
        first,
        dataset,
        preparation,
        evaluations,
        progress.later("second size"),
    )
    accumulations = {
        key: _accumulated(
            artifact,
            (reference_id, runtimes[reference_id]),
            dataset,
            preparation,
            first.classes,
            progress.later(f"float16 sums of {key}"),
        )
        for key, artifact in by_id.items()
        if how.accumulate and artifact.manifest.precision == "fp16"
    }
    entries = [
        entry(
            Measured(
                key,
                by_id.get(key),
                runtimes[key],
                evaluations[key],
                timing.latencies[key],
                timing.runtimes[key],
                noises.get(key),
                sizes.get(key),
                accumulations.get(key),
            ),
            evaluation[key],
            first.classes,
            how.protocol,
        )
        for key in runtimes
    ]
    result = Result(
        name=first.name,
        model=first.model,
        protocol=how.protocol,
        dataset=_dataset_facts(dataset, preparation.labels),
        reference=reference_id,
        shape=(first.input.shape[1], *first.size),
        params=first.params,
        macs=first.macs,
        flops_published=first.flops_published,
        calibration=_calibration(by_id),
        environment=environment(),
        command=command,
        overlap_allowed=bool(shared),
        latency_protocol=timing.protocol,
        classes=list(first.classes),
        class_images=images_of_classes(evidence, first.classes),
        bootstrap=bootstrap_facts(evaluation.values()),
        artifacts=entries,
    )
    written = write_result(result, evidence, images, folder, worst.worst_first())
    remove_rows(folder)
    return written


_accumulated: Callable[..., AccumulationFacts] = Lazy(
    "validate.judging.float16_sums:measure_accumulation"
)
"""It takes torch, which nothing else here needs."""


def environment() -> dict[str, Any]:
    """Return versions and the machine facts a result depends on."""
    settings = {"session.x64quantprecision": "1"} if lacks_vnni() else {}
    return {"versions": versions(), **cpu_facts(), "session_settings": settings}


def write_result(
    result: Result,
    evidence: Mapping[str, Evidence],
    images: Sequence[str],
    folder: Path,
    thumbnails: Sequence[Thumbnail] = (),
) -> Result:
    """Write all files or none, and return the result with its checksums.

    Pictures of an earlier result do not stay beside this one.
    """
    targets = [folder / RESULT_FILE, folder / CONFUSION_FILE]
    if thumbnails:
        targets.append(folder / PICTURE_FILE)
    with new_files(*targets) as (json_file, npz_file, *picture_file):
        with npz_file.open("wb") as file:
            result = sealed(result, write_evidence(evidence, images, file))
        text = result.to_json()
        json_file.write_text(text)
        result = Result.model_validate_json(text)  # what whoever reads the file will have
        for path in picture_file:
            write_pictures(thumbnails, result, path)
    if not thumbnails:
        (folder / PICTURE_FILE).unlink(missing_ok=True)
    return result


def _dataset_facts(dataset: Dataset, labels: LabelMap) -> DatasetFacts:
    """Masks that are read by another label map are another label set."""
    digest = dataset.labels_sha256
    if digest is not None and labels.digest != AS_THEY_ARE.digest:
        digest = ids_digest([digest, labels.digest])
    return DatasetFacts(
        name=dataset.name,
        split=dataset.split,
        images=len(dataset.items),
        ids_sha256=dataset.ids_sha256,
        labelled=dataset.labelled,
        labels_sha256=digest,
        label_map=labels.name if labels.declared and dataset.labelled else None,
    )


def _calibration(artifacts: Mapping[str, Artifact]) -> dict[str, Any] | None:
    facts = {
        key: {
            "protocol": artifact.manifest.calibration_protocol,
            "images": len(artifact.manifest.images),
            "ids_sha256": ids_digest(image.id for image in artifact.manifest.images),
            "settings": artifact.manifest.settings,
        }
        for key, artifact in artifacts.items()
        if artifact.manifest.images
    }
    return facts or None
