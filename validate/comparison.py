"""Artifacts against their reference, under one protocol on one image list."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from export.artifact import Artifact, Manifest
from export.errors import UsageError
from export.files import check_writable, new_files
from export.inspection import inspect
from export.sessions import CPU, cpu_facts, lacks_vnni, threads
from export.versions import versions
from validate.datasets import Dataset, ids_digest, open_dataset
from validate.evaluation import Evaluation, evaluate
from validate.latency import Latency, measure_latency
from validate.metrics import class_iou, invented_classes, miou, pixel_accuracy
from validate.overlap import overlapping, refuse_overlap
from validate.protocols import DEFAULT_PROTOCOL, get_protocol
from validate.reference import refuse_mixed, with_reference
from validate.result import (
    CONFUSION_FILE,
    RESULT_FILE,
    ArtifactResult,
    DatasetFacts,
    Result,
    SpreadFacts,
)
from validate.runtimes import TORCH_ID, Runtime, open_runtime, open_torch
from validate.samples import Preparation

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
    command: str | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> Result:
    """Compare artifacts with their reference on a data set; write result.json, confusion.npz.

    `reference` is "torch" (with `weights`, the checkpoint it was exported from), the path of
    an fp32 artifact, or None: then the fp32 one among `artifacts`, else the parent that lies
    beside them. `runtime` applies to all artifacts; None takes the default for each
    precision. Raises UsageError without a reference, ComparisonError for artifacts that do
    not belong together, DataError for unusable data or images the artifacts were made with.
    """
    if not artifacts:
        raise UsageError("validate: give at least one artifact")
    if weights is not None and reference != "torch":
        raise UsageError("--weights goes with --reference torch, which rebuilds the network")
    check_writable(folder)
    chosen, reference_id = with_reference(artifacts, reference)
    first = chosen[0].manifest
    preparation = Preparation.for_artifact(first, protocol)
    refuse_mixed(chosen, protocol)
    dataset = open_dataset(data, "val").first(limit)
    shared = overlapping((a.manifest for a in chosen), dataset)
    refuse_overlap(shared, dataset, allow_overlap)

    by_id = {artifact.manifest.id: artifact for artifact in chosen}
    runtimes: dict[str, Runtime] = {}
    if reference_id == TORCH_ID:
        runtimes[TORCH_ID] = open_torch(first, weights)
    runtimes |= {key: open_runtime(artifact, runtime) for key, artifact in by_id.items()}
    evaluations = evaluate(
        runtimes,
        reference_id,
        dataset,
        preparation,
        progress=lambda done, total: progress("validate", done, total),
    )
    timed = {
        key: run if run.times_artifact else open_runtime(by_id[key], "ort-cpu")
        for key, run in runtimes.items()
    }
    latencies = measure_latency(
        timed,
        preparation.sample(dataset.items[0]).image,
        lambda done, total: progress("latency", done, total),
    )
    base = _miou(evaluations[reference_id])
    entries = [
        _entry(
            key,
            by_id.get(key),
            runtimes[key],
            timed[key],
            evaluations[key],
            latencies[key],
            None if key == reference_id else base,
            first,
            protocol,
        )
        for key in runtimes
    ]
    result = Result(
        name=first.name,
        model=first.model,
        protocol=protocol,
        dataset=_dataset_facts(dataset),
        reference=reference_id,
        shape=(3, *first.size),
        params=first.params,
        macs=first.macs,
        flops_published=first.flops_published,
        calibration=_calibration(by_id),
        environment=environment(),
        command=command,
        overlap_allowed=bool(shared),
        artifacts=entries,
    )
    write_result(result, evaluations, folder)
    return result


def environment() -> dict[str, Any]:
    """Return versions and the machine facts a result depends on."""
    settings = {"session.x64quantprecision": "1"} if lacks_vnni() else {}
    return {"versions": versions(), **cpu_facts(), "session_settings": settings}


def write_result(result: Result, evaluations: Mapping[str, Evaluation], folder: Path) -> None:
    """Write both files or neither."""
    arrays: Any = {
        key: np.stack(found.confusions) for key, found in evaluations.items() if found.confusions
    }
    with new_files(folder / RESULT_FILE, folder / CONFUSION_FILE) as (json_file, npz_file):
        json_file.write_text(result.to_json())
        np.savez_compressed(npz_file, **arrays)


def _dataset_facts(dataset: Dataset) -> DatasetFacts:
    return DatasetFacts(
        name=dataset.name,
        split=dataset.split,
        images=len(dataset.items),
        ids_sha256=dataset.ids_sha256,
        labelled=dataset.labelled,
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


def _miou(found: Evaluation) -> float | None:
    return miou(np.sum(found.confusions, axis=0)) if found.confusions else None


def _entry(
    key: str,
    artifact: Artifact | None,
    runtime: Runtime,
    timed: Runtime,
    found: Evaluation,
    latency: Latency,
    base: float | None,
    network: Manifest,
    protocol: str,
) -> ArtifactResult:
    manifest = artifact.manifest if artifact else None
    total = np.sum(found.confusions, axis=0) if found.confusions else None
    reached = None if total is None else miou(total)
    share, verified, note = _int8_facts(artifact, runtime)
    return ArtifactResult(
        id=key,
        precision=manifest.precision if manifest else "fp32",
        target=manifest.target if manifest else None,
        file=artifact.path.name if artifact else None,
        sha256=manifest.sha256 if manifest else None,
        parent_sha256=manifest.parent_sha256 if manifest else None,
        size_bytes=artifact.path.stat().st_size if artifact else None,
        runtime=runtime.name,
        provider=runtime.provider,
        int8_macs_share=share,
        int8_verified=verified,
        int8_note=note,
        kept_float=_kept_float(manifest),
        miou=reached,
        pixel_accuracy=None if total is None else pixel_accuracy(total),
        class_iou={}
        if total is None
        else dict(zip(network.classes, class_iou(total), strict=True)),
        invented_classes=[]
        if total is None
        else [network.classes[c] for c in invented_classes(total)],
        drop=None if base is None or reached is None else base - reached,
        drop_ci95=None,
        agreement=100 * found.agreeing / found.pixels,
        fidelity_miou=None if found.fidelity is None else miou(found.fidelity),
        nonfinite_images=len(found.nonfinite),
        latency_ms=SpreadFacts(**asdict(latency.session)),
        mask_ms=SpreadFacts(**asdict(latency.mask)),
        latency_runtime=timed.name,
        threads=threads(),
        cpu=str(cpu_facts()["cpu"]),
        warnings=_warnings(manifest, found, protocol),
    )


def _int8_facts(
    artifact: Artifact | None, runtime: Runtime
) -> tuple[float | None, bool | None, str | None]:
    """Return share of MACs in int8, whether that is as promised, and why it is unknown."""
    if artifact is None or artifact.manifest.precision != "int8":
        return None, None, None
    if runtime.provider != CPU:
        return None, None, f"{runtime.provider} has no int8 convolution and computes in float"
    manifest = artifact.manifest
    share = inspect(
        artifact.path, (manifest.input.shape[0] or 1, *manifest.macs_shape)
    ).int8_macs_share
    promised = manifest.checks["int8"]["int8_macs_share"]
    return share, share >= promised - 1e-9, None


def _kept_float(manifest: Manifest | None) -> list[str]:
    if manifest is None or manifest.precision == "fp32":
        return []
    return list(manifest.checks[manifest.precision]["kept_float"])


def _warnings(manifest: Manifest | None, found: Evaluation, protocol: str) -> list[str]:
    said = []
    if found.nonfinite:
        said.append(
            f"broken: inf or NaN in the logits of {len(found.nonfinite)} images, the first is "
            f"{found.nonfinite[0]}"
        )
    if manifest and manifest.precision == "fp16" and not manifest.checks["fp16"]["range_checked"]:
        said.append("value range not checked against float16")
    if manifest and (manifest.input.shape[0] or 1) > 1:
        said.append(f"latency is that of a batch of {manifest.input.shape[0]} images")
    if manifest and manifest.output("logits") is None and get_protocol(protocol).at_image_size:
        said.append("no logits: its mask was resized to the image's size by nearest pixel")
    return said
