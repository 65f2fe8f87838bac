"""How much the numbers of one file vary: noise that must not fail a gate.

The file runs again on the same images under every other setting of the runtime that may not
change what it computes: other numbers of threads, which split sums elsewhere, no fused kernels,
which round between operators, and the instructions of CPUs that multiply 8-bit integers in
another way.
"""

from collections.abc import Callable, Mapping

import onnxruntime

from export.artifact.artifact import Artifact
from export.common.errors import ArtifactError
from export.common.progress import Progress, silent
from export.ort.sessions import session_options, threads
from validate.counting.evaluation import evaluate
from validate.data.items import Dataset
from validate.judging.figures import figures
from validate.result.evidence import Evidence
from validate.result.facts import NoiseFacts
from validate.result.result import Figures
from validate.runtime.engine import Runtime
from validate.runtime.table import RUNTIMES
from validate.samples.samples import Preparation


def _threads(count: int) -> onnxruntime.SessionOptions:
    options = session_options()
    options.intra_op_num_threads = count
    return options


def _unoptimized() -> onnxruntime.SessionOptions:
    options = session_options()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def _other_instructions() -> onnxruntime.SessionOptions:
    options = session_options()
    options.add_session_config_entry("session.x64quantprecision", "1")
    return options


SETTINGS: dict[str, Callable[[], onnxruntime.SessionOptions]] = {
    "1 thread": lambda: _threads(1),
    "2 threads": lambda: _threads(2),
    "no graph optimization": _unoptimized,
    "u8 x u8 products": _other_instructions,
}


def measure_noise(
    artifact: Artifact,
    name: str,
    reference: tuple[str, Runtime],
    dataset: Dataset,
    preparation: Preparation,
    classes: tuple[str, ...],
    progress: Progress = silent,
) -> NoiseFacts | None:
    """Return the noise of an artifact on a runtime, None for runtimes whose settings are unknown.

    `reference` is the id and runtime that agreement is counted against. A setting under which
    onnxruntime cannot load the file is left out.
    """
    entry = RUNTIMES.get(name)
    if entry is None or not entry.options:
        return None
    runtimes = {"as it ran": entry.open(artifact, None)}
    for setting, options in SETTINGS.items():
        if setting == f"{threads()} thread{'s' * (threads() > 1)}":
            continue  # that is how it ran
        try:
            runtimes[setting] = entry.open(artifact, None, options())
        except ArtifactError:
            continue
    id, engine = reference
    evaluations = evaluate({id: engine, **runtimes}, id, dataset, preparation, progress=progress)
    evidence = {key: run.evidence() for key, run in evaluations.items()}
    return largest_changes(evidence, id, "as it ran", classes, [i.id for i in dataset.items])


def largest_changes(
    evidence: Mapping[str, Evidence],
    reference: str,
    usual: str,
    classes: tuple[str, ...],
    images: list[str],
) -> NoiseFacts:
    """Return by how much figures differ at most from those of `usual`, a key of `evidence`."""
    reached = figures(evidence, reference, classes, images, resamples=1)
    before = reached[usual]
    others = {key: one for key, one in reached.items() if key not in (reference, usual)}
    return NoiseFacts(
        settings=list(others),
        miou=max((abs(_miou(other) - _miou(before)) for other in others.values()), default=0.0),
        class_iou=max((_class_change(before, other) for other in others.values()), default=0.0),
        agreement=max(
            (abs(other.agreement - before.agreement) for other in others.values()), default=0.0
        ),
    )


def _miou(one: Figures) -> float:
    value = one.fidelity_miou if one.miou is None else one.miou
    return 0.0 if value is None else value


def _class_change(before: Figures, now: Figures) -> float:
    changes = [
        abs(iou - other)
        for name, iou in before.class_iou.items()
        if iou is not None and (other := now.class_iou.get(name)) is not None
    ]
    return max(changes, default=0.0)
