"""Artifacts timed side by side: latency, load time, memory and throughput."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.artifact.artifact import Artifact
from export.artifact.manifest import Manifest
from export.common.errors import DataError, UsageError
from export.common.progress import SILENT, Stages
from export.common.versions import versions
from export.ort.sessions import cpu_facts
from validate.data.datasets import open_dataset
from validate.runtime.engine import Runtime
from validate.runtime.runtimes import default_runtime, open_runtime
from validate.runtime.table import rebuilds
from validate.speed.contention import Snapshot, taken_by_others
from validate.speed.cpus import pinned
from validate.speed.fastest import own_agreement
from validate.speed.latency import WARM_UP, Rounds, Spread, spread, take_turns
from validate.speed.memory import Footprint, measure_footprint
from validate.speed.picture import input_image
from validate.speed.throughput import Throughput, measure_throughput, shares

ROUNDS = 30
EMULATION, FILE_ITSELF = "ort-fp16", "ort-cpu"


@dataclass(frozen=True)
class BenchTiming:
    """One artifact on one runtime.

    `session_ms` is the inference alone, `mask_ms` image tensor to class mask. `ratio` is its
    `mask_ms` divided by the first artifact's of the same round (less than 1 is faster). `shape`
    is the input's, so times are those of `shape[0]` images. `throughput` is None unless asked for.
    `agreement` is the percent of pixels classified as by fp32 when the file was made, None where
    nothing judged it.
    """

    file: str
    id: str
    sha256: str
    size_bytes: int
    runtime: str
    provider: str
    shape: tuple[int, int, int, int]
    session_ms: Spread
    mask_ms: Spread
    ratio: Spread
    footprint: Footprint
    throughput: Throughput | None
    warnings: tuple[str, ...]
    agreement: float | None


@dataclass(frozen=True)
class Bench:
    """What was timed, on which CPUs (None: not held fixed) and on which picture.

    `others` is the percent of these CPUs that was taken by others during the rounds.
    """

    timings: tuple[BenchTiming, ...]
    threads: int
    cpus: tuple[int, ...] | None
    others: float | None
    rounds: int
    warm_up: int
    picture: str
    machine: dict[str, Any]
    versions: dict[str, str]


def bench(
    artifacts: Sequence[Artifact],
    *,
    runtimes: Sequence[str] = (),
    weights: str | None = None,
    data: str | None = None,
    threads: int | None = None,
    parallel: int | None = None,
    rounds: int = ROUNDS,
    progress: Stages = SILENT,
) -> Bench:
    """Time every artifact on every one of `runtimes`, one run of each per round.

    Without `runtimes` a file runs on onnxruntime's CPU provider, or float16 on a GPU where there
    is one. `weights` is the checkpoint for torch runtimes. All get the same picture, the first of
    `data` or a seeded one. `threads` CPUs are held fixed, default all that the process may use;
    `parallel` sessions of equal shares of them are measured for throughput. Raises UsageError for
    settings that cannot be had, and for a runtime whose speed is not the file's.
    """
    if not artifacts:
        raise UsageError("bench: give at least one artifact")
    if rounds < 1:
        raise UsageError(f"--rounds {rounds}: give 1 or more")
    if weights is not None and not any(map(rebuilds, runtimes)):
        raise UsageError("--weights goes with --runtime torch, which rebuilds the network")
    picture = _first_picture(data) if data else None
    with pinned(threads) as pinning:
        split = shares(pinning, parallel) if parallel is not None else None
        cases = [
            _open(artifact, name, weights, picture)
            for artifact in artifacts
            for name in runtimes or (None,)
        ]
        timed = {str(at): (case.opened, case.image) for at, case in enumerate(cases)}
        before = Snapshot.take(pinning.cpus)
        samples = list(take_turns(timed, rounds, progress.later("latency")).values())
        others = taken_by_others(pinning.cpus, before)
        timings: list[BenchTiming] = []
        for done, case in enumerate(cases):
            progress("memory and throughput", done, len(cases))
            footprint = measure_footprint(
                case.artifact.path, case.opened.name, weights=weights, picture=picture
            )
            throughput = None
            if split is not None:
                throughput = measure_throughput(
                    case.reopen, case.image, split, rounds * len(split), case.shape[0]
                )
            timings.append(_timing(case, samples[done], samples[0], footprint, throughput))
    return Bench(
        timings=tuple(timings),
        threads=pinning.threads,
        cpus=pinning.cpus,
        others=others,
        rounds=rounds,
        warm_up=WARM_UP,
        picture=picture.name if picture else "synthetic, seed 0",
        machine={key: value for key, value in cpu_facts().items() if key != "threads"},
        versions=versions(),
    )


def _first_picture(data: str) -> Path:
    items = open_dataset(data, "val", masks=False).items
    if not items:
        raise DataError(f"data {data}: no images to measure on")
    return items[0].image


@dataclass(frozen=True)
class _Case:
    """An artifact on one runtime, and its input."""

    artifact: Artifact
    opened: Runtime
    image: NDArray[np.float32]
    weights: str | None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        _, channels, height, width = self.image.shape
        return self.artifact.manifest.input.shape[0] or 1, channels, height, width

    def reopen(self) -> Runtime:
        return open_runtime(self.artifact, self.opened.name, weights=self.weights)


def _open(artifact: Artifact, name: str | None, weights: str | None, picture: Path | None) -> _Case:
    opened = open_runtime(artifact, name or _timed_runtime(artifact.manifest), weights=weights)
    if not opened.times_artifact:
        raise UsageError(
            f"--runtime {opened.name} emulates; its speed is not that of {artifact.path.name}, "
            f"use --runtime {FILE_ITSELF}"
        )
    return _Case(artifact, opened, input_image(artifact.manifest, picture), weights)


def _timed_runtime(manifest: Manifest) -> str:
    """Return the default runtime, but the file itself where that one would emulate it."""
    name = default_runtime(manifest)
    return FILE_ITSELF if name == EMULATION else name


def _timing(
    case: _Case, own: Rounds, first: Rounds, footprint: Footprint, throughput: Throughput | None
) -> BenchTiming:
    ratios = [one / base for one, base in zip(own.mask, first.mask, strict=True)]
    latency = own.latency
    return BenchTiming(
        file=case.artifact.path.name,
        id=case.artifact.manifest.id,
        sha256=case.artifact.manifest.sha256,
        size_bytes=case.artifact.path.stat().st_size,
        runtime=case.opened.name,
        provider=case.opened.provider,
        shape=case.shape,
        session_ms=latency.session,
        mask_ms=latency.mask,
        ratio=spread(ratios),
        footprint=footprint,
        throughput=throughput,
        warnings=case.opened.warnings,
        agreement=own_agreement(case.artifact.manifest),
    )
