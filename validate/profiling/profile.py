"""Where an artifact spends its time: by operator, by layer, and against the machine's peak."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.artifact.artifact import Artifact
from export.common.errors import UsageError
from export.common.files import scratch_folder
from export.common.progress import SILENT, Stages
from export.common.versions import versions
from export.ort.sessions import CPU, cpu_facts, open_session, run, session_options
from validate.profiling.accounts import KernelGroup, ProfiledLayer, groups, layer_entry
from validate.profiling.bandwidth import measure_bandwidth
from validate.profiling.kernels import Kernel, Recording, read_recording
from validate.profiling.layers import Layers
from validate.profiling.peak import KINDS, measure_peak
from validate.profiling.roofline import Limits
from validate.runtime.engine import fed
from validate.speed.contention import Snapshot, taken_by_others
from validate.speed.cpus import Pinning, pinned
from validate.speed.latency import WARM_UP, Spread, spread
from validate.speed.picture import input_image

ROUNDS = 20
SHORTEST_MS = 0.1
"""Kernels from this time on count towards the peak."""
_OPTIMIZED = "optimized.onnx"


@dataclass(frozen=True)
class Profile:
    """The time of one artifact, ms and percent of the session's time under the profiler.

    `session_ms` is that time, `plain_ms` the session's without the profiler, measured interleaved
    with it; `others` is the percent of the CPUs that others took meanwhile. `between_ms` is what
    no kernel accounts for. `peaks` are the machine's GMAC/s by kind, `bandwidths` its GB/s by bytes
    that an operator moves. `macs` are those of the file;
    `found_macs` those of the kernels, less where onnxruntime folded or hid some.
    """

    file: str
    id: str
    shape: tuple[int, ...]
    session_ms: float
    plain_ms: Spread
    between_ms: float
    int8_share: float
    macs: int
    found_macs: int
    peaks: dict[str, float]
    bandwidths: dict[int, float]
    operators: tuple[KernelGroup, ...]
    multiplying: tuple[KernelGroup, ...]
    layers: tuple[ProfiledLayer, ...]
    threads: int
    cpus: tuple[int, ...] | None
    others: float | None
    rounds: int
    machine: dict[str, Any]
    versions: dict[str, str]


def profile(
    artifact: Artifact,
    *,
    threads: int | None = None,
    rounds: int = ROUNDS,
    progress: Stages = SILENT,
) -> Profile:
    """Run `artifact` on onnxruntime's CPU provider under its profiler and account for the time.

    The peaks are measured before and after it, on the same CPUs (see `measure_peak`), and the best
    of them counts, or a layer of the file that was faster. Layers come slowest first. Raises
    UsageError for threads that cannot be had, ArtifactError for a file that onnxruntime cannot
    load.
    """
    if rounds < 1:
        raise UsageError(f"--rounds {rounds}: give 1 or more")
    image = fed(input_image(artifact.manifest), artifact.manifest)
    with pinned(threads) as pinning, scratch_folder() as scratch:
        peaks = _peaks(KINDS, progress)
        bandwidths = {size: round(speed, 1) for size, speed in measure_bandwidth().items()}
        before = Snapshot.take(pinning.cpus)
        runs = _recorded(artifact.path, image, rounds, Path(scratch), progress)
        others = taken_by_others(pinning.cpus, before)
        optimized = onnx.load(Path(scratch, _OPTIMIZED))
        layers = Layers(onnx.load(artifact.path), optimized, image.shape)
        speeds = _speeds(runs.recording.kernels, layers)
        again = _peaks([kind for kind in KINDS if kind in speeds], progress)
    # no layer is faster than a peak: what one reached, the machine can do
    measured = {kind: max(peaks[kind], again[kind], speeds[kind]) for kind in again}
    peaks = {kind: round(peak, 1) for kind, peak in measured.items()}
    limits = Limits(peaks, bandwidths)
    return _account(artifact, image.shape, runs, layers, limits, pinning, others)


def _peaks(kinds: Iterable[str], progress: Stages) -> dict[str, float]:
    measured = {}
    for done, kind in enumerate(kinds):
        progress("peak", done, len(KINDS))
        measured[kind] = measure_peak(kind)
    return measured


def _speeds(kernels: Iterable[Kernel], layers: Layers) -> dict[str, float]:
    """Return GMAC/s of the fastest kernel of every kind that has MACs; 0 where all are too short.

    The profiler counts whole microseconds, so that of short kernels' speed little is known.
    """
    fastest: dict[str, float] = {}
    for kernel in kernels:
        if macs := layers.computed_macs_of(kernel):
            speed = macs / kernel.ms / 1e6 if kernel.ms >= SHORTEST_MS else 0.0
            fastest[kernel.kind] = max(fastest.get(kernel.kind, 0.0), speed)
    return fastest


@dataclass(frozen=True)
class _Runs:
    """`rounds` runs under the profiler and, interleaved, as many without: `plain_ms`."""

    recording: Recording
    plain_ms: Spread
    rounds: int


def _recorded(
    file: Path,
    image: NDArray[np.floating],
    rounds: int,
    scratch: Path,
    progress: Stages,
) -> _Runs:
    options = session_options()
    options.enable_profiling = True
    options.profile_file_prefix = str(scratch / "profile")
    options.optimized_model_filepath = str(scratch / _OPTIMIZED)
    recorded, plain = open_session(file, CPU, options), open_session(file)
    times: list[float] = []
    for done in range(WARM_UP + rounds):
        run(recorded, image)
        start = time.perf_counter()
        run(plain, image)
        times.append(1000 * (time.perf_counter() - start))
        progress("profile", done + 1, WARM_UP + rounds)
    recording = read_recording(Path(recorded.end_profiling()), WARM_UP)
    return _Runs(recording, spread(times[WARM_UP:]), rounds)


def _account(
    artifact: Artifact,
    shape: tuple[int, ...],
    runs: _Runs,
    layers: Layers,
    limits: Limits,
    pinning: Pinning,
    others: float | None,
) -> Profile:
    recording = runs.recording
    session_ms = recording.session_ms
    rows = [
        layer_entry(
            kernel,
            layers.layer(kernel),
            layers.macs_of(kernel),
            layers.computed_macs_of(kernel),
            layers.bytes_of(kernel),
            session_ms,
            limits,
        )
        for kernel in recording.kernels
    ]
    peaks = limits.peaks
    int8_ms = sum(layer.ms for layer in rows if layer.kind == "int8")
    return Profile(
        file=artifact.path.name,
        id=artifact.manifest.id,
        shape=shape,
        session_ms=round(session_ms, 3),
        plain_ms=runs.plain_ms,
        between_ms=round(session_ms - sum(kernel.ms for kernel in recording.kernels), 3),
        int8_share=round(100 * int8_ms / session_ms, 2),
        macs=layers.macs,
        found_macs=sum(layer.macs for layer in rows),
        peaks=dict(peaks),
        bandwidths=dict(limits.bandwidths),
        operators=groups(rows, lambda layer: layer.operator, session_ms, peaks),
        multiplying=groups(
            (layer for layer in rows if layer.macs), lambda layer: layer.kind, session_ms, peaks
        ),
        layers=tuple(sorted(rows, key=lambda layer: -layer.ms)),
        threads=pinning.threads,
        cpus=pinning.cpus,
        others=others,
        rounds=runs.rounds,
        machine={key: value for key, value in cpu_facts().items() if key != "threads"},
        versions=versions(),
    )
