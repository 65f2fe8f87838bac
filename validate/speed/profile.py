"""Where an artifact spends its time: by operator, by layer, and against the machine's peak."""

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.artifact import Artifact
from export.errors import UsageError
from export.sessions import CPU, cpu_facts, open_session, run, session_options
from export.versions import versions
from validate.latency import WARM_UP
from validate.runtime.engine import fed
from validate.speed.cpus import Pinning, pinned
from validate.speed.kernels import Kernel, Recording, middle_half, read_recording
from validate.speed.layers import Layers
from validate.speed.peak import CANDIDATES, measure_peak
from validate.speed.picture import input_image

ROUNDS = 20


@dataclass(frozen=True)
class Layer:
    """A kernel: `name` is the file's layer where onnxruntime's name leads to one, else its own.

    `ms` is its time, `share` that of the session's, 0-100. `gmac_per_s` and `of_peak` (0-100, of
    the peak for its kind) are None for kernels without MACs.
    """

    name: str
    operator: str
    kind: str
    output: tuple[int, ...]
    ms: float
    share: float
    macs: int
    gmac_per_s: float | None
    of_peak: float | None


@dataclass(frozen=True)
class Group:
    """All kernels of one operator type or one kind."""

    name: str
    kernels: int
    ms: float
    share: float
    macs: int
    gmac_per_s: float | None
    of_peak: float | None


@dataclass(frozen=True)
class Profile:
    """The time of one artifact, ms and percent of the session's time under the profiler.

    `session_ms` is that time, `plain_ms` the session's without the profiler, measured in turns
    with it. `between_ms` is what no kernel accounts for. `peaks` are the machine's GMAC/s by kind.
    `macs` are those of the file; `found_macs` those of the kernels, less where onnxruntime folded
    or hid some.
    """

    file: str
    id: str
    shape: tuple[int, ...]
    session_ms: float
    plain_ms: float
    between_ms: float
    int8_share: float
    macs: int
    found_macs: int
    peaks: dict[str, float]
    operators: tuple[Group, ...]
    multiplying: tuple[Group, ...]
    layers: tuple[Layer, ...]
    threads: int
    cpus: tuple[int, ...] | None
    rounds: int
    machine: dict[str, Any]
    versions: dict[str, str]


def profile(
    artifact: Artifact,
    *,
    threads: int | None = None,
    rounds: int = ROUNDS,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Profile:
    """Run `artifact` on onnxruntime's CPU provider under its profiler and account for the time.

    The peaks are measured with it, on the same CPUs; see `measure_peak`. Layers come slowest
    first. Raises UsageError for threads that cannot be had, ArtifactError for a file that
    onnxruntime cannot load.
    """
    if rounds < 1:
        raise UsageError(f"--rounds {rounds}: give 1 or more")
    image = fed(input_image(artifact.manifest), artifact.manifest)
    with pinned(threads) as pinning, tempfile.TemporaryDirectory(prefix="segport-") as scratch:
        recording, plain_ms = _recorded(artifact.path, image, rounds, Path(scratch), progress)
        optimized = onnx.load(Path(scratch, _OPTIMIZED))
        layers = Layers(onnx.load(artifact.path), optimized, image.shape)
        counted = {kernel.index: layers.macs_of(kernel) for kernel in recording.kernels}
        kinds = {k.kind for k in recording.kernels if counted[k.index] and k.kind in CANDIDATES}
        peaks: dict[str, float] = {}
        for done, kind in enumerate(sorted(kinds)):
            progress("peak", done, len(kinds))
            peaks[kind] = round(measure_peak(kind), 1)
    return _account(artifact, image.shape, recording, plain_ms, layers, peaks, pinning, rounds)


_OPTIMIZED = "optimized.onnx"


def _recorded(
    file: Path,
    image: NDArray[np.floating],
    rounds: int,
    scratch: Path,
    progress: Callable[[str, int, int], None],
) -> tuple[Recording, float]:
    """Run the file in turns with and without the profiler; return its record and the plain ms."""
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
    measured = times[WARM_UP:]
    plain_ms = float(np.mean([measured[at] for at in middle_half(measured)]))
    return read_recording(Path(recorded.end_profiling()), WARM_UP), plain_ms


def _account(
    artifact: Artifact,
    shape: tuple[int, ...],
    recording: Recording,
    plain_ms: float,
    layers: Layers,
    peaks: dict[str, float],
    pinning: Pinning,
    rounds: int,
) -> Profile:
    session_ms = recording.session_ms
    found = [
        _layer(kernel, layers.layer(kernel), layers.macs_of(kernel), session_ms, peaks)
        for kernel in recording.kernels
    ]
    int8_ms = sum(layer.ms for layer in found if layer.kind == "int8")
    return Profile(
        file=artifact.path.name,
        id=artifact.manifest.id,
        shape=shape,
        session_ms=round(session_ms, 3),
        plain_ms=round(plain_ms, 3),
        between_ms=round(session_ms - sum(kernel.ms for kernel in recording.kernels), 3),
        int8_share=round(100 * int8_ms / session_ms, 2),
        macs=layers.macs,
        found_macs=sum(layer.macs for layer in found),
        peaks=peaks,
        operators=_groups(found, lambda layer: layer.operator, session_ms, peaks),
        multiplying=_groups(
            (layer for layer in found if layer.macs), lambda layer: layer.kind, session_ms, peaks
        ),
        layers=tuple(sorted(found, key=lambda layer: -layer.ms)),
        threads=pinning.threads,
        cpus=pinning.cpus,
        rounds=rounds,
        machine={key: value for key, value in cpu_facts().items() if key != "threads"},
        versions=versions(),
    )


def _layer(
    kernel: Kernel, name: str | None, macs: int, session_ms: float, peaks: dict[str, float]
) -> Layer:
    speed, of_peak = achieved(macs, kernel.ms, peaks.get(kernel.kind))
    return Layer(
        name=name or kernel.name,
        operator=kernel.operator,
        kind=kernel.kind,
        output=kernel.output,
        ms=round(kernel.ms, 4),
        share=round(100 * kernel.ms / session_ms, 2),
        macs=macs,
        gmac_per_s=speed,
        of_peak=of_peak,
    )


def _groups(
    layers: Iterable[Layer],
    key: Callable[[Layer], str],
    session_ms: float,
    peaks: dict[str, float],
) -> tuple[Group, ...]:
    """Sum layers up by `key`, the slowest group first."""
    grouped: dict[str, list[Layer]] = {}
    for layer in layers:
        grouped.setdefault(key(layer), []).append(layer)
    found = [_group(name, members, session_ms, peaks) for name, members in grouped.items()]
    return tuple(sorted(found, key=lambda group: -group.ms))


def _group(
    name: str, members: Sequence[Layer], session_ms: float, peaks: dict[str, float]
) -> Group:
    ms, macs = sum(layer.ms for layer in members), sum(layer.macs for layer in members)
    kinds = {layer.kind for layer in members}
    peak = peaks.get(kinds.pop()) if len(kinds) == 1 else None
    speed, of_peak = achieved(macs, ms, peak)
    share = round(100 * ms / session_ms, 2)
    return Group(name, len(members), round(ms, 3), share, macs, speed, of_peak)


def achieved(macs: int, ms: float, peak: float | None) -> tuple[float | None, float | None]:
    """Return GMAC/s and percent of `peak` (GMAC/s); None without MACs, time or a peak."""
    if not macs or not ms:
        return None, None
    speed = macs / ms / 1e6
    return round(speed, 2), None if not peak else round(100 * speed / peak, 2)
