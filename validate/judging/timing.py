"""The latencies of a result: measured for it, or taken from another result of the same run."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from export.artifact.artifact import Artifact
from export.common.progress import Progress
from validate.data.items import Dataset
from validate.result.facts import SpreadFacts
from validate.result.result import ArtifactResult, Result
from validate.runtime.engine import Runtime
from validate.runtime.runtimes import open_runtime
from validate.samples.protocols import DEFAULT_PROTOCOL
from validate.samples.samples import Preparation
from validate.speed.latency import Latency, Spread, measure_latency


@dataclass(frozen=True)
class ResultTiming:
    """Latency by artifact id, and the name of the runtime that it was measured on.

    `protocol` is that of the result it was measured for, None: for this one.
    """

    latencies: Mapping[str, Latency]
    runtimes: Mapping[str, str]
    protocol: str | None = None


def measured(
    runtimes: Mapping[str, Runtime],
    artifacts: Mapping[str, Artifact],
    dataset: Dataset,
    preparation: Preparation,
    progress: Progress,
) -> ResultTiming:
    """Time all runtimes, interleaved, on the first image; emulations on the file itself."""
    timed = {
        key: run if run.times_artifact else open_runtime(artifacts[key], "ort-cpu")
        for key, run in runtimes.items()
    }
    # at the size MACs are counted at, also where the protocol's images vary in size
    image = replace(preparation, protocol=DEFAULT_PROTOCOL).sample(dataset.items[0]).image
    latencies = measure_latency(timed, image, progress)
    return ResultTiming(latencies, {key: run.name for key, run in timed.items()})


def known(
    result: Result,
    runtimes: Mapping[str, Runtime],
    artifacts: Mapping[str, Artifact],
    dataset: Dataset,
) -> ResultTiming | None:
    """Return the latencies of `result`, None unless they are what would be measured.

    That is: the same files on the same runtimes, and the same images.
    """
    if result.dataset.ids_sha256 != dataset.ids_sha256:
        return None
    latencies, names = {}, {}
    for key, runtime in runtimes.items():
        entry = result.artifact(key)
        sha256 = artifacts[key].manifest.sha256 if key in artifacts else None
        if entry is None or (entry.runtime, entry.sha256) != (runtime.name, sha256):
            return None
        latency = _latency(entry)
        if latency is None or entry.latency_runtime is None:
            return None
        latencies[key], names[key] = latency, entry.latency_runtime
    return ResultTiming(latencies, names, result.latency_protocol or result.protocol)


def _latency(entry: ArtifactResult) -> Latency | None:
    if entry.latency_ms is None or entry.mask_ms is None:
        return None
    return Latency(_spread(entry.latency_ms), _spread(entry.mask_ms))


def _spread(facts: SpreadFacts) -> Spread:
    return Spread(facts.median, facts.p10, facts.p90)
