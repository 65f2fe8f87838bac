"""How a file of each precision is made: declare statistics, collect them, decide, build."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Protocol

import onnx
from onnx import ModelProto

from export.artifact.facts import FormFacts, Fp16Facts, Int8Facts
from export.artifact.sample import Sample
from export.common.errors import CalibrationError, UsageError
from export.onnx_graph.graph import infer_shapes
from export.ort.sessions import cpu_facts
from quantize.calibration.measurement import Measurement
from quantize.fp16.batch_norms import fold_statistics
from quantize.fp16.fp16 import REWRITES as FP16_REWRITES
from quantize.fp16.fp16 import convert
from quantize.fp16.observation import observe as observe_values
from quantize.graph.biases import summed
from quantize.graph.mask_head import with_mask_head
from quantize.graph.plan import Plan, build
from quantize.host import verifiable
from quantize.int8.bias_correction import correct_biases
from quantize.int8.finishing import Planned, finish_int8
from quantize.int8.layers import choose_layers, fixed_float, fp32_time
from quantize.int8.methods import CORRECT_BIAS, FOLD_CLIP, rounding_method
from quantize.int8.observation import observe
from quantize.job import Job
from quantize.lossless.lossless import rewrite_losslessly
from quantize.ranges.grid import Grid
from quantize.ranges.table import range_rule
from quantize.rewrites.prepare import Rewriting
from quantize.rounding.rounding import Rounded, round_weights
from quantize.search.search import Search, SearchResult, search
from quantize.targets import get_target

Facts = Int8Facts | Fp16Facts


class Algorithm(Protocol):
    """Makes a file of one `Job`. The methods are called once each, in this order.

    What a method declares is collected on the calibration images before the next one is called,
    for all files of a `quantize_all` in one pass.
    """

    def rewrite_statistics(self) -> Measurement | None:
        """Declare what rewrites of the float network need to know; None if nothing."""

    def statistics(self) -> Measurement | None:
        """Rewrite the float network; declare what is to be decided by; None if nothing."""

    def build(self) -> tuple[ModelProto, Facts]:
        """Decide, and return the file and what its manifest records of it."""


class Fp16:
    """Makes float16 of an fp32 artifact. Raises UsageError for a search."""

    def __init__(self, job: Job) -> None:
        if job.search is not None:
            raise UsageError("--max-drop and --min-agreement search int8; fp16 has its own guard")
        self._job = job

    def rewrite_statistics(self) -> Measurement | None:
        """See `Algorithm`."""
        job = self._job
        model = infer_shapes(onnx.load(job.artifact.path))
        self._rewriting = Rewriting(model, FP16_REWRITES if len(job.samples) else ())
        return self._rewriting.statistics(job.artifact, job.samples, job.progress)

    def statistics(self) -> Measurement | None:
        """See `Algorithm`."""
        job = self._job
        prepared = self._rewriting.apply(job.samples, job.artifact.manifest.input)
        del self._rewriting  # holds the network as it was
        self._steps = prepared.steps
        self._observation = observe_values(fold_statistics(prepared.model), job.settings.keep_float)
        return self._observation.measurement() if len(job.samples) else None

    def build(self) -> tuple[ModelProto, Facts]:
        """See `Algorithm`."""
        settings = self._job.settings
        half, facts = convert(
            self._observation, self._job.samples, io=settings.io, guard=settings.guard
        )
        return half, {"prepared": [step.facts() for step in self._steps], **facts}


class Int8:
    """Makes int8 of an fp32 artifact. Raises CalibrationError without images."""

    def __init__(self, job: Job) -> None:
        if not len(job.samples):
            raise CalibrationError("int8 needs calibration images: give --calibration DATA")
        self._job = job
        self._target = get_target(job.settings.target or "")
        self._methods = job.settings.methods()
        # a search weighs accuracy against latency by itself
        self._kernels = self._target.kernels if job.search is None else None

    def rewrite_statistics(self) -> Measurement | None:
        """See `Algorithm`."""
        job = self._job
        model = infer_shapes(onnx.load(job.artifact.path))
        self._fixed_float = fixed_float(model, job.settings.keep_float)
        self._fp32_time = fp32_time(model, job.artifact, self._kernels)
        self._rewriting = Rewriting(model, self._methods)
        return self._rewriting.statistics(job.artifact, job.samples, job.progress)

    def statistics(self) -> Measurement | None:
        """See `Algorithm`."""
        job = self._job
        self._prepared = self._rewriting.apply(job.samples, job.artifact.manifest.input)
        del self._rewriting  # holds the network as it was
        self._layers = choose_layers(
            self._prepared,
            job.artifact,
            self._target,
            self._fixed_float,
            self._fp32_time,
            self._kernels,
        )
        self._observation = observe(
            self._prepared.model,
            self._layers.nodes,
            range_rule(job.settings.range or ""),
            len(job.samples),
            moments=rounding_method(self._methods) is not None,
        )
        return self._observation.measurement()

    def build(self) -> tuple[ModelProto, Facts]:
        """See `Algorithm`."""
        job, planned = self._job, self._decide()
        searched = _search(job, planned.plan, job.search) if job.search else None
        kept = sorted(searched.chosen.kept_float) if searched else ()
        model, facts = finish_int8(job.artifact, planned, kept)
        if searched:
            facts["search"] = searched.facts()
        fastest, form = _fastest_form(job, model, job.samples)
        return fastest, {**facts, **form}

    def _decide(self) -> Planned:
        """Decide ranges, integers and biases from what was collected."""
        job, prepared, observation = self._job, self._prepared, self._observation
        del self._observation  # moments are large, and are used here for the last time
        target, method = self._target, rounding_method(self._methods)
        grid = Grid(target.symmetric, 254 if target.symmetric else 255)
        ranges = observation.ranges(grid, prepared.ranges)
        rounded = Rounded({}, {}, {})
        if method:
            rounded = round_weights(prepared.model, observation.moments, target, method)
        plan = Plan(
            prepared.model,
            target,
            tuple(node.name for node in self._layers.nodes),
            ranges,
            rounded.weights,
            rounded.shifts,
            fold_clips=FOLD_CLIP in self._methods,
        )
        coverage = observation.facts()
        del observation
        if CORRECT_BIAS in self._methods:
            shifts = correct_biases(plan, job.samples, job.progress)
            plan = replace(plan, shifts=summed(plan.shifts, shifts))
        return Planned(plan, prepared, rounded, self._layers, coverage)


def _search(job: Job, plan: Plan, wanted: Search) -> SearchResult:
    """Search which layers of a plan to leave in float."""
    elsewhere = verifiable(plan.target, cpu_facts()) is not None
    result = search(
        plan,
        onnx.load(job.artifact.path),
        lambda kept: _candidate(job, plan, kept),
        job.samples,
        replace(wanted, latency=None) if elsewhere else wanted,
    )
    job.samples.note(*result.images, *wanted.images())
    return result


def _candidate(job: Job, plan: Plan, kept: Collection[str]) -> ModelProto:
    """Make a search's candidate: the file as it would be written; fp32's if all is float."""
    if set(plan.layers) <= set(kept) and not plan.target.wide_weight:
        return onnx.load(job.artifact.path)
    return _fastest_form(job, build(plan, kept), checked=())[0]


def _fastest_form(
    job: Job, model: ModelProto, checked: Sequence[Sample]
) -> tuple[ModelProto, FormFacts]:
    """Return a file in the form that is fastest on its target; `checked` show it's the same."""
    target = get_target(job.settings.target or "")
    faster, lossless = rewrite_losslessly(model, target.lossless, checked)
    headed, head = with_mask_head(faster, target.mask_head, checked)
    return headed, {**lossless, **head}
