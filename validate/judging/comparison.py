"""Artifacts against their reference, under one protocol on one image list."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from export.artifact.artifact import Artifact
from export.common.errors import UsageError
from export.common.files import check_writable, new_files
from export.common.versions import versions
from export.ort.sessions import cpu_facts, lacks_vnni
from validate.data.datasets import Dataset, ids_digest, open_dataset
from validate.judging.entry import Judged, entry
from validate.judging.evaluation import evaluate
from validate.judging.figures import figures, images_of_classes
from validate.judging.loss import bootstrap_facts
from validate.judging.noise import measure_noise
from validate.judging.overlap import overlapping, refuse_overlap
from validate.judging.reference import refuse_mixed, with_reference
from validate.judging.second_size import at_second_size
from validate.judging.timing import known, measured
from validate.judging.worst_pictures import WorstPictures
from validate.result.evidence import Evidence, write_evidence
from validate.result.picture_file import write_pictures
from validate.result.result import (
    CONFUSION_FILE,
    PICTURE_FILE,
    RESULT_FILE,
    DatasetFacts,
    Result,
)
from validate.result.sealing import sealed
from validate.runtime.runtimes import REFERENCES, TORCH_ID, Runtime, open_runtime, open_torch
from validate.samples.label_map import AS_THEY_ARE, LabelMap
from validate.samples.protocols import DEFAULT_PROTOCOL
from validate.samples.samples import Preparation
from validate.samples.thumbnail import Thumbnail
from validate.samples.traps import MASK_SIZE, check_accepted, refuse_traps

Progress = Callable[[str, int, int], None]


def validate(
    artifacts: Sequence[Artifact],
    data: str,
    folder: Path,
    *,
    protocol: str = DEFAULT_PROTOCOL,
    reference: str | None = None,
    weights: str | None = None,
    runtime: str | None = None,
    limit: int | None = None,
    allow_overlap: bool = False,
    allow_fallback: bool = False,
    pictures: int = 0,
    noise: bool = False,
    labels: str | None = None,
    mask_suffix: str | None = None,
    accepted: Sequence[str] = (),
    timed_with: Result | None = None,
    command: str | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> Result:
    """Compare artifacts with their reference on a data set; write result.json, confusion.npz.

    `reference` is "torch" or "torch-cuda" (with `weights`, the checkpoint it was exported from),
    the path of an fp32 artifact, or None: then the fp32 one among `artifacts`, else the parent
    that lies beside them. `runtime` applies to all artifacts; None takes the default for each
    precision. A GPU runtime that is not there is an error unless `allow_fallback`, which takes
    what is there and says so in the result. `pictures.zip` holds the `pictures` images on which
    the artifacts agree least with the reference, and is there only if that is more than 0.
    With `noise` every file runs again under other settings of its runtime; a baseline keeps
    what that changes (`validate.judging.noise`). `labels` is the name or file of a label map,
    `mask_suffix` what masks' names have after those of images, `accepted` names the traps in
    labels that the user knows of (`validate.samples.traps`). `timed_with` is a result under another
    protocol that was made just before: its latencies, which no protocol bears on, hold here too
    where files, runtimes and images are the same.
    Raises UsageError without a reference, ComparisonError for artifacts that do not belong
    together, DataError for unusable data or images the artifacts were made with.
    """
    if not artifacts:
        raise UsageError("validate: give at least one artifact")
    if weights is not None and not {reference, runtime} & set(REFERENCES):
        raise UsageError(
            "--weights goes with --reference or --runtime torch, which rebuild the network"
        )
    check_accepted(accepted)
    check_writable(folder)
    chosen, reference_id = with_reference(artifacts, reference)
    first = chosen[0].manifest
    refuse_mixed(chosen, protocol)
    dataset = open_dataset(data, "val", suffix=mask_suffix).first(limit).sorted()
    preparation = Preparation.for_artifact(
        first, protocol, labels or dataset.labels, fit=MASK_SIZE in accepted
    )
    shared = overlapping((a.manifest for a in chosen), dataset)
    refuse_overlap(shared, dataset, allow_overlap)
    refuse_traps(dataset, preparation, accepted)

    by_id = {artifact.manifest.id: artifact for artifact in chosen}
    runtimes: dict[str, Runtime] = {}
    if reference_id == TORCH_ID:
        runtimes[TORCH_ID] = open_torch(first, weights, reference or "torch")
    runtimes |= {
        key: open_runtime(artifact, runtime, weights=weights, allow_fallback=allow_fallback)
        for key, artifact in by_id.items()
    }
    worst = WorstPictures(pictures, reference_id, preparation)
    evaluations = evaluate(
        runtimes,
        reference_id,
        dataset,
        preparation,
        see=worst.see,
        progress=lambda done, total: progress("validate", done, total),
    )
    timing = timed_with and known(timed_with, runtimes, by_id, dataset)
    timing = timing or measured(
        runtimes, by_id, dataset, preparation, lambda done, total: progress("latency", done, total)
    )
    evidence = {key: found.evidence() for key, found in evaluations.items()}
    images = [item.id for item in dataset.items]
    found = figures(evidence, reference_id, first.classes, images)
    noises = {
        key: measure_noise(
            artifact,
            runtimes[key].name,
            (reference_id, runtimes[reference_id]),
            dataset,
            preparation,
            first.classes,
            partial(progress, f"noise of {key}"),
        )
        for key, artifact in by_id.items()
        if noise
    }
    sizes = at_second_size(
        runtimes,
        reference_id,
        first,
        dataset,
        preparation,
        evaluations,
        partial(progress, "second size"),
    )
    entries = [
        entry(
            Judged(
                key,
                by_id.get(key),
                runtimes[key],
                evaluations[key],
                timing.latencies[key],
                timing.runtimes[key],
                noises.get(key),
                sizes.get(key),
            ),
            found[key],
            first.classes,
            protocol,
        )
        for key in runtimes
    ]
    result = Result(
        name=first.name,
        model=first.model,
        protocol=protocol,
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
        bootstrap=bootstrap_facts(found.values()),
        artifacts=entries,
    )
    return write_result(result, evidence, images, folder, worst.worst_first())


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
    found = {
        key: {
            "protocol": artifact.manifest.calibration_protocol,
            "images": len(artifact.manifest.images),
            "ids_sha256": ids_digest(image.id for image in artifact.manifest.images),
            "settings": artifact.manifest.settings,
        }
        for key, artifact in artifacts.items()
        if artifact.manifest.images
    }
    return found or None
