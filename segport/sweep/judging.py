"""Judge all files of a network together: every image decoded once, and run once by fp32."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from export.artifact.artifact import Artifact
from export.common.files import new_files
from export.workers.engines import Workers
from segport import dependencies
from segport.stages import Reuse
from segport.sweep.cell_work import reason
from segport.sweep.making import Made, command_of
from segport.sweep.outcome import Row
from segport.sweep.plan import Network
from validate.counting.job import File, Job
from validate.counting.kept import remove_rows
from validate.counting.sharded import count
from validate.data.datasets import open_dataset
from validate.data.items import Dataset
from validate.judging.figures import figures
from validate.judging.overlap import overlapping, refuse_overlap
from validate.judging.timing import measured
from validate.result.result import Figures
from validate.runtime.engine import Runtime
from validate.runtime.runtimes import open_runtime
from validate.samples.samples import Preparation
from validate.samples.trap_table import MASK_SIZE
from validate.samples.traps import refuse_traps

FP32 = "fp32"
_FILE = "judged.json"


def judge(network: Network, made: Made, folder: Path, workers: Workers, reuse: Reuse) -> list[Row]:
    """Return a row for every cell; what an earlier run found of the same files and images stays.

    Raises SegportError for unusable data; a file that its runtime cannot open is a failed cell.
    """
    recipe = network.recipe
    dataset = open_dataset(recipe.data.validation, "val", suffix=recipe.data.mask_suffix)
    dataset = dataset.first(recipe.data.limit).sorted()
    files = [made.fp32, *made.files.values()]
    inputs = dependencies.everywhere() | dependencies.of_validation(recipe, [made.fp32])
    inputs["files"] = [[name, file.manifest.sha256] for name, file in made.files.items()]
    inputs["images"] = dependencies.of_images(dataset)
    stage = reuse.stage(f"{network.name}: judge", inputs)
    target = folder / _FILE
    if not stage.done:
        shared = overlapping((file.manifest for file in files), dataset)
        refuse_overlap(shared, dataset, recipe.validation.allow_overlap)
        facts = _judged(network, made, dataset, folder, workers, reuse)
        with new_files(target) as (file,):
            file.write_text(json.dumps(facts, indent=1))
        stage.finish([target])
        remove_rows(folder)
    found = json.loads(target.read_text())
    return [
        Row(
            network=network.name,
            cell=cell.name,
            values=dict(cell.values),
            command=command_of(cell, network, made.fp32, folder),
            **({"error": made.errors[cell.name]} if cell.name in made.errors else found[cell.name]),
        )
        for cell in network.cells
    ]


def _judged(
    network: Network, made: Made, dataset: Dataset, folder: Path, workers: Workers, reuse: Reuse
) -> dict[str, Any]:
    """Return the figures of every file by its cell's name, or its error."""
    recipe = network.recipe
    preparation = Preparation.for_artifact(
        made.fp32.manifest,
        recipe.validation.protocols[0],
        recipe.data.labels or dataset.labels,
        fit=MASK_SIZE in recipe.data.accept,
    )
    refuse_traps(dataset, preparation, recipe.data.accept)
    runtimes, errors = _opened(made, recipe.validation.runtime)
    artifacts = {FP32: made.fp32} | {key: made.files[key] for key in runtimes if key != FP32}
    job = Job(
        {
            key: File(artifact.path.resolve(), artifact.manifest.sha256, runtimes[key].name)
            for key, artifact in artifacts.items()
        },
        FP32,
        preparation,
        made.fp32.manifest,
        threads=workers.threads,
    )
    evaluations = count(job, dataset, folder, workers, reuse.progress)
    evidence = {key: evaluation.evidence() for key, evaluation in evaluations.items()}
    ids = [item.id for item in dataset.items]
    judged = figures(evidence, FP32, made.fp32.manifest.classes, ids)
    timing = measured(runtimes, artifacts, dataset, preparation, reuse.progress.later("latency"))
    times = {key: latency.session.median for key, latency in timing.latencies.items()}
    found: dict[str, Any] = {key: {"error": error} for key, error in errors.items()}
    for key, artifact in made.files.items():
        if key in judged:
            found[key] = _facts(artifact, made.fp32, judged[key], times[key], times[FP32])
    return found


def _opened(made: Made, runtime: str | None) -> tuple[dict[str, Runtime], dict[str, str]]:
    """Return a runtime for every file, and why there is none for the others."""
    runtimes, errors = {FP32: open_runtime(made.fp32, runtime)}, {}
    for key, artifact in made.files.items():
        try:
            runtimes[key] = open_runtime(artifact, runtime)
        except Exception as error:  # whatever a runtime raises, the other files are judged
            errors[key] = reason(error)
    return runtimes, errors


def _facts(
    artifact: Artifact, fp32: Artifact, judged: Figures, time: float, base: float
) -> Mapping[str, Any]:
    size, before = (one.path.stat().st_size for one in (artifact, fp32))
    drop = judged.drop
    return {
        "file": str(artifact.path),
        "sha256": artifact.manifest.sha256,
        "size_bytes": size,
        "miou": judged.miou,
        "drop": drop,
        "drop_ci95": judged.drop_ci95,
        "agreement": judged.agreement,
        "loss": 100 - judged.agreement if drop is None else drop,
        "latency_ms": time,
        "latency_ratio": time / base,
        "size_ratio": size / before,
    }
