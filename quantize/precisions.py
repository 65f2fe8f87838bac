"""How each precision is made: a table."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import onnx
from onnx import ModelProto

from export.artifact.artifact import Artifact, ImageRef, Origin, Sample, origin_of
from export.common.errors import CalibrationError, UsageError
from export.ort.sessions import cpu_facts
from quantize.calibration.calibration import Progress
from quantize.calibration.measurement import Steps
from quantize.fp16.fp16 import quantize_fp16
from quantize.graph.mask_head import with_mask_head
from quantize.graph.plan import Plan, build
from quantize.int8.int8 import Choices, finish_int8, plan_int8
from quantize.lossless.lossless import rewrite_losslessly
from quantize.search.search import Search
from quantize.search.search import search as search_precision
from quantize.settings import Settings
from quantize.targets import get_target, verifiable


class Recorded(Sequence[Sample]):
    """Passes samples through and remembers which were used."""

    def __init__(self, samples: Sequence[Sample], used: dict[str, ImageRef] | None = None) -> None:
        self._samples = samples
        self.used: dict[str, ImageRef] = {} if used is None else used

    @property
    def origin(self) -> Origin:
        """How the samples came about."""
        return origin_of(self._samples)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Recorded(self._samples[index], self.used)
        return self._note(self._samples[index])

    def __iter__(self) -> Any:
        return (self._note(sample) for sample in self._samples)

    def identities(self) -> list[ImageRef]:
        """Return id and sha256 of all samples, which counts as having used them."""
        cheap = getattr(self._samples, "identities", None)
        found = list(cheap()) if cheap else [ImageRef(id=s.id, sha256=s.sha256) for s in self]
        self.note(*found)
        return found

    def note(self, *images: ImageRef) -> None:
        """Count images as used."""
        self.used.update({image.id: image for image in images})

    def _note(self, sample: Sample) -> Sample:
        self.used[sample.id] = ImageRef(id=sample.id, sha256=sample.sha256)
        return sample


@dataclass(frozen=True)
class Job:
    """One call of `quantize`."""

    artifact: Artifact
    samples: Recorded
    settings: Settings
    search: Search | None
    progress: Progress


Making = Steps[tuple[ModelProto, dict[str, Any]]]
Method = Callable[[Job], Making]


@dataclass(frozen=True)
class Precision:
    """`method` makes the model; `settings` names those of `Settings` that bear on it."""

    method: Method
    settings: tuple[str, ...]


def _fp16(job: Job) -> Making:
    if job.search is not None:
        raise UsageError("--max-drop and --min-agreement search int8; fp16 has its own guard")
    return quantize_fp16(
        job.artifact,
        job.samples,
        io=job.settings.io,
        guard=job.settings.guard,
        keep_float=job.settings.keep_float,
        progress=job.progress,
    )


def _int8(job: Job) -> Making:
    if not len(job.samples):
        raise CalibrationError("int8 needs calibration images: give --calibration DATA")
    settings = job.settings
    choices = Choices(
        target=get_target(settings.target or ""),
        rule=settings.range or "",
        methods=settings.methods(),
        keep_float=settings.keep_float,
        by_cost=job.search is None,  # a search weighs accuracy against latency by itself
    )
    planned = yield from plan_int8(job.artifact, job.samples, choices, job.progress)
    spec = job.artifact.manifest
    shape = (1, spec.input.shape[1], *spec.size)
    if job.search is None:
        return _in_its_form(job, *finish_int8(job.artifact, planned, shape))
    elsewhere = verifiable(choices.target, cpu_facts()) is not None
    found = search_precision(
        planned.plan,
        onnx.load(job.artifact.path),
        lambda kept: _shipped(job, planned.plan, kept),
        job.samples,
        replace(job.search, latency=None) if elsewhere else job.search,
    )
    job.samples.note(*found.images, *job.search.images())
    model, facts = finish_int8(job.artifact, planned, shape, sorted(found.chosen.kept_float))
    return _in_its_form(job, model, facts | {"search": found.facts()})


def _shipped(job: Job, plan: Plan, kept: Collection[str]) -> ModelProto:
    """Make a search's candidate: the file as it would be written; fp32's if all is float."""
    if set(plan.layers) <= set(kept):
        return onnx.load(job.artifact.path)
    return _in_its_form(job, build(plan, kept), {}, checked=())[0]


def _in_its_form(
    job: Job, model: ModelProto, facts: dict[str, Any], checked: Sequence[Sample] | None = None
) -> tuple[ModelProto, dict[str, Any]]:
    """Give the finished file the form that is fastest on its target; `checked` show it's the same.

    They are the calibration images by default.
    """
    checked = job.samples if checked is None else checked
    target = get_target(job.settings.target or "")
    faster, lossless = rewrite_losslessly(model, target.lossless, checked)
    ended, head = with_mask_head(faster, target.mask_head, checked)
    return ended, facts | lossless | head


PRECISIONS: dict[str, Precision] = {
    "fp16": Precision(_fp16, ("io", "guard", "keep_float")),
    "int8": Precision(_int8, ("target", "range", "added", "skipped", "keep_float")),
}
