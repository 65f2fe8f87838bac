"""Judge files of a network together: every image decoded once, and run once by fp32."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from export.artifact.artifact import Artifact
from export.common.files import new_files
from export.workers.engines import Workers
from segport import dependencies
from segport.sweep.cell_work import reason
from segport.sweep.making import Source
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
Files = Mapping[str, Artifact]
"""By the name of a cell."""
Found = dict[str, dict[str, Any]]
"""By a cell's name: fields of its row, among them why there are no others."""


@dataclass(frozen=True)
class Judge:
    """What judges all files of a network: the same images, prepared alike.

    `digests` are those of the images.
    """

    source: Source
    dataset: Dataset
    digests: Any

    @cached_property
    def preparation(self) -> Preparation:
        """Return how images are prepared. Raises DataError for labels that would mislead."""
        recipe, manifest = self.source.network.recipe, self.source.fp32.manifest
        labels = recipe.data.labels or self.dataset.labels
        fit = MASK_SIZE in recipe.data.accept
        protocol = recipe.validation.protocols[0]
        preparation = Preparation.for_artifact(manifest, protocol, labels, fit=fit)
        refuse_traps(self.dataset, preparation, recipe.data.accept)
        return preparation

    def judge(self, files: Files, part: str, workers: Workers) -> Found:
        """Return what all is found but times; `part` tells these files from others of a sweep.

        What an earlier run found of the same files and images stays. Raises SegportError for
        unusable data; a file that its runtime cannot open is a failed cell.
        """
        name = f"judge {part}".strip()
        return self._known(name, files, lambda: self._judged(files, workers))

    def time(self, files: Files) -> Found:
        """Return the times of files, all of them measured interleaved, here."""
        return self._known("latency", files, lambda: self._timed(files))

    def _known(self, name: str, files: Files, find: Callable[[], Found]) -> Found:
        """Return what was found of the same files and images before, or else find it."""
        if not files:
            return {}
        source = self.source
        recipe = source.network.recipe
        inputs = dependencies.everywhere() | dependencies.of_validation(recipe, [source.fp32])
        inputs["files"] = [[key, file.manifest.sha256] for key, file in files.items()]
        inputs["images"] = self.digests
        stage = source.reuse.stage(f"{source.network.name}: {name}", inputs)
        target = source.reuse.folder / f"{name.replace(' ', '-')}.json"
        if not stage.done:
            found = find()
            with new_files(target) as (file,):
                file.write_text(json.dumps(found, indent=1))
            stage.finish([target])
            remove_rows(source.reuse.folder)
        known: Found = json.loads(target.read_text())
        return known

    def _judged(self, files: Files, workers: Workers) -> Found:
        """Return the figures of every file, or its error."""
        source, dataset = self.source, self.dataset
        recipe, fp32 = source.network.recipe, source.fp32
        shared = overlapping((file.manifest for file in (fp32, *files.values())), dataset)
        refuse_overlap(shared, dataset, recipe.validation.allow_overlap)
        runtimes, errors = _opened(fp32, files, recipe.validation.runtime)
        artifacts = _with_fp32(fp32, files, runtimes)
        job = Job(
            {
                key: File(artifact.path.resolve(), artifact.manifest.sha256, runtimes[key].name)
                for key, artifact in artifacts.items()
            },
            FP32,
            self.preparation,
            fp32.manifest,
            threads=workers.threads,
        )
        evaluations = count(job, dataset, source.reuse.folder, workers, source.reuse.progress)
        evidence = {key: evaluation.evidence() for key, evaluation in evaluations.items()}
        ids = [item.id for item in dataset.items]
        judged = figures(evidence, FP32, fp32.manifest.classes, ids)
        failed: Found = {key: {"error": error} for key, error in errors.items()}
        return failed | {
            key: _facts(file, fp32, judged[key]) for key, file in files.items() if key in judged
        }

    def _timed(self, files: Files) -> Found:
        source = self.source
        runtimes, _ = _opened(source.fp32, files, source.network.recipe.validation.runtime)
        artifacts = _with_fp32(source.fp32, files, runtimes)
        progress = source.reuse.progress.later("latency")
        timing = measured(runtimes, artifacts, self.dataset, self.preparation, progress)
        times = {key: latency.session.median for key, latency in timing.latencies.items()}
        return {
            key: {"latency_ms": times[key], "latency_ratio": times[key] / times[FP32]}
            for key in files
            if key in times
        }


def judge_of(source: Source) -> Judge:
    """Open the images that judge a network's files. Raises DataError for unusable ones."""
    data = source.network.recipe.data
    dataset = open_dataset(data.validation, "val", suffix=data.mask_suffix)
    dataset = dataset.first(data.limit).sorted()
    return Judge(source, dataset, dependencies.of_images(dataset))


def _opened(
    fp32: Artifact, files: Files, runtime: str | None
) -> tuple[dict[str, Runtime], dict[str, str]]:
    """Return a runtime for every file and fp32, and why there is none for the others."""
    runtimes, errors = {FP32: open_runtime(fp32, runtime)}, {}
    for key, artifact in files.items():
        try:
            runtimes[key] = open_runtime(artifact, runtime)
        except Exception as error:  # whatever a runtime raises, the other files are judged
            errors[key] = reason(error)
    return runtimes, errors


def _with_fp32(fp32: Artifact, files: Files, opened: Collection[str]) -> dict[str, Artifact]:
    return {FP32: fp32} | {key: file for key, file in files.items() if key in opened}


def _facts(artifact: Artifact, fp32: Artifact, judged: Figures) -> dict[str, Any]:
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
        "size_ratio": size / before,
    }
