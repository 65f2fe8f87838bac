"""Keep collected statistics on disk, so that the same calibration is never run twice.

A file is found only by the sha256 of everything that bears on its contents: the measured
network, the images, their preparation, what was collected, and the versions that computed it.
It holds a digest of that key and of its arrays, so that neither an altered file nor that of
another calibration under its name is taken for what was collected.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.artifact.artifact import Artifact
from export.artifact.manifest import ImageRef
from export.artifact.sample import Sample, origin_of
from export.common.errors import ArtifactError
from export.common.files import is_regular, new_files
from export.common.progress import Progress, silent
from export.common.versions import versions
from export.workers.engines import Workers
from quantize.calibration.calibration import collect
from quantize.calibration.measurement import Measurement, Statistics
from quantize.calibration.sharded import BLOCK, collect_by
from quantize.calibration.statistics import State, Statistic
from quantize.calibration.turns import turns

FORMAT = 3
"""Of the files and of what the statistics in them mean."""
_CHECKSUM = "sha256"
LIMIT = 2 << 30
"""Bytes the folder may take; the files used last are kept."""


def default_folder() -> Path | None:
    """Return `segport/statistics` in $XDG_CACHE_HOME or ~/.cache; None without a home."""
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        # the XDG specification has relative paths ignored
        cache = chosen if chosen.is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        return None
    return cache / "segport" / "statistics"


def collect_cached(
    measurements: Sequence[Measurement],
    artifact: Artifact,
    samples: Sequence[Sample],
    *,
    folder: Path | None = None,
    workers: Workers | None = None,
    progress: Progress = silent,
) -> list[ImageRef]:
    """Do what `collect` does, but restore what it found when it measured the same before.

    `artifact` says how `samples` were prepared for the float networks that are measured, under the
    protocol of their origin; what does not know its own is measured each time. `samples` are
    identified by their method `identities()` if they have it, which need not decode them. Returns
    the images used, also when nothing had to be run. Raises what `collect` raises; a folder
    (default: `default_folder()`) that cannot be written or read is no error. What another process
    measures at this moment is waited for (`quantize.calibration.turns`).
    """
    images = _identities(samples)
    folder = folder or default_folder()
    protocol = origin_of(samples).protocol
    named = protocol is not None and all(image.sha256 for image in images)

    def measure(chosen: Sequence[Measurement]) -> list[ImageRef]:
        if workers is None:
            return collect(chosen, artifact.manifest, samples, progress)
        return collect_by(workers, chosen, artifact.manifest, samples, progress)

    if not images or not named or folder is None:
        return measure(measurements)
    blocks = None if workers is None else [BLOCK, workers.threads]
    files = [
        folder / f"{_key(measurement, artifact, images, protocol, blocks)}.npz"
        for measurement in measurements
    ]
    with turns(folder, (file.stem for file in files), partial(progress, 0, len(images))):
        missing = [
            (measurement, file)
            for measurement, file in zip(measurements, files, strict=True)
            if not _restored(measurement.statistics, file)
        ]
        if not missing:
            progress(len(images), len(images))
            return images
        used = measure([one for one, _ in missing])
        if _sorted(used) == _sorted(images):  # else files changed after they were identified
            for one, file in missing:
                _keep(one.statistics, file)
        return used


def _identities(samples: Sequence[Sample]) -> list[ImageRef]:
    identities = getattr(samples, "identities", None)
    if identities is not None:
        return list(identities())
    return [ImageRef(id=sample.id, sha256=sample.sha256) for sample in samples]


def _sorted(images: Iterable[ImageRef]) -> list[list[str]]:
    return sorted([image.id, image.sha256] for image in images)


def _key(
    measurement: Measurement,
    artifact: Artifact,
    images: Sequence[ImageRef],
    protocol: str | None,
    blocks: list[int] | None,
) -> str:
    manifest = artifact.manifest
    data = measurement.model.SerializeToString(deterministic=True)
    facts = {
        "format": FORMAT,
        "versions": versions(),
        "model": hashlib.sha256(data).hexdigest(),
        "input": manifest.input.model_dump(mode="json"),
        "size": manifest.size,
        "protocol": protocol,
        "images": _sorted(images),
        "statistics": {name: _keys(wanted) for name, wanted in measurement.statistics.items()},
    }
    if blocks is not None:  # in which last bits may differ from those of one pass
        facts["blocks"] = blocks
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _keys(statistics: Sequence[Statistic]) -> list[str]:
    return sorted({statistic.key for statistic in statistics})


def _numbered(statistics: Statistics) -> Iterable[tuple[str, Statistic]]:
    """Yield every statistic with a prefix for the names of its arrays, the same for equal ones."""
    for number, tensor in enumerate(sorted(statistics)):
        keys = _keys(statistics[tensor])
        for statistic in statistics[tensor]:
            yield f"{number}.{keys.index(statistic.key)}.", statistic


def _arrays(statistics: Statistics) -> State:
    return {
        f"{prefix}{name}": array
        for prefix, statistic in _numbered(statistics)
        for name, array in statistic.state().items()
    }


def _checksum(key: str, arrays: State) -> NDArray[np.uint8]:
    """Return the sha256 of arrays with their names, types and shapes, as uint8 (32,)."""
    digest = hashlib.sha256(key.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(repr((name, array.dtype.str, arrays[name].shape)).encode())
        digest.update(array.tobytes())
    return np.frombuffer(digest.digest(), np.uint8)


def _restored(statistics: Statistics, path: Path) -> bool:
    """Restore all statistics, or none and return False."""
    if not is_regular(path):
        return False
    try:
        with np.load(path, allow_pickle=False) as file:
            if set(file.files) != {_CHECKSUM, *_arrays(statistics)}:
                return False
            arrays: State = dict(file)
        if not np.array_equal(arrays.pop(_CHECKSUM), _checksum(path.stem, arrays)):
            return False
    except Exception:  # nearly anything is raised for a damaged file
        return False
    with suppress(OSError):
        os.utime(path)
    for prefix, statistic in _numbered(statistics):
        own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        statistic.restore(own)
    return True


def _keep(statistics: Statistics, path: Path) -> None:
    if sum(array.nbytes for array in _arrays(statistics).values()) > LIMIT:
        return
    with suppress(ArtifactError, OSError):
        with new_files(path) as (temporary,):
            arrays = _arrays(statistics)
            checksum = {_CHECKSUM: _checksum(path.stem, arrays)}
            np.savez(temporary, allow_pickle=False, **arrays, **checksum)
        total = 0
        for _, size, file in sorted(_used(path.parent), reverse=True):
            total += size
            if total > LIMIT:
                file.unlink(missing_ok=True)


def _used(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """Yield when each file was used last, its bytes and name; another run may remove some."""
    for file in folder.glob("*.npz"):
        with suppress(OSError):
            facts = file.stat()
            yield facts.st_mtime, facts.st_size, file
