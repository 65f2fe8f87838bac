"""fp32 to int8: prepare the network, observe it, decide ranges and integers, insert Q/DQ."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto, NodeProto

from export.artifact.artifact import INPUT_NAME, Artifact, Sample
from export.artifact.facts import Int8Facts
from export.common.errors import QuantizeError
from export.common.files import scratch_folder
from export.common.progress import Progress
from export.onnx_graph.graph import dims, float_tensors, infer_shapes, with_input_shape
from export.onnx_graph.onnx_cost import graph_cost
from export.ort.inspection import Optimized, inspect
from export.ort.sessions import cpu_facts
from quantize.calibration.coverage import Coverage
from quantize.calibration.coverage import facts as coverage_facts
from quantize.calibration.measurement import Measurement, Steps
from quantize.calibration.statistics import Statistic
from quantize.graph.biases import summed
from quantize.graph.float_layers import ASKED, FASTER, OUTPUT, SEARCHED, float_layers
from quantize.graph.plan import Plan, build
from quantize.graph.selection import matching_layers, output_layers, range_sources, worthwhile
from quantize.int8.bias_correction import correct_biases
from quantize.int8.methods import CORRECT_BIAS, FOLD_CLIP, rounding_method
from quantize.partition.partition import estimate, paying
from quantize.ranges.grid import Grid
from quantize.ranges.ranges import Range
from quantize.ranges.table import range_rule
from quantize.rewrites.prepare import Prepared, prepare_for
from quantize.rounding.rounding import Rounded, input_moments, round_weights
from quantize.targets import MOVES, Target, verifiable

_WORTH_CHOOSING = 1e6
"""Nanoseconds that the float layers take, below which no choice among them is noticed."""


@dataclass(frozen=True)
class Choices:
    """How to quantize: target, range rule, methods by name, and layers to leave in float.

    With `by_cost` only what is faster in int8 becomes it, on targets whose costs are known.
    """

    target: Target
    rule: str
    methods: tuple[str, ...]
    keep_float: Sequence[str] = ()
    by_cost: bool = True


@dataclass(frozen=True)
class Planned:
    """A plan, and what is known about how it came to be.

    `coverage` says whether the calibration images were enough (`quantize.calibration.coverage`),
    `told`, by name, why layers were to stay in float from the start, `foreseen` what part of fp32's
    time the file shall take on its target; None where nothing is known of that.
    """

    plan: Plan
    prepared: Prepared
    rounded: Rounded
    coverage: dict[str, Any]
    told: Mapping[str, str] = field(default_factory=dict)
    foreseen: float | None = None


def plan_int8(
    artifact: Artifact, samples: Sequence[Sample], choices: Choices, progress: Progress
) -> Steps[Planned]:
    """Decide everything about the int8 file of a float artifact.

    Layers whose output is a graph output, and layers that match a glob of `keep_float`, stay
    in float, as do those that only float layers would read.
    """
    target = choices.target
    model = infer_shapes(onnx.load(artifact.path))
    told = dict.fromkeys(output_layers(model), OUTPUT)
    told |= dict.fromkeys(matching_layers(model, choices.keep_float), ASKED)
    prepared = yield from prepare_for(artifact, model, choices.methods, samples, progress=progress)
    kernels = target.kernels if choices.by_cost else None
    fp32 = estimate(_sized(model, artifact), kernels) if kernels else 0.0
    del model  # as large as the one that was made of it
    told |= dict.fromkeys(prepared.kept_float, FASTER)
    candidates = _quantizable(prepared.model, target)
    layers = worthwhile(prepared.model, [n for n in candidates if n.name not in told], target)
    foreseen = None
    if kernels and fp32 >= _WORTH_CHOOSING:
        sized = _sized(prepared.model, artifact)
        layers = paying(sized, layers, fp32, kernels) or layers
        foreseen = round(estimate(sized, kernels, {node.name for node in layers}) / fp32, 2)
    if not layers:
        raise QuantizeError(f"{artifact.path.name}: no layer is left that could become int8")
    ranges, rounded, coverage = yield from _observed(prepared, layers, samples, choices)
    plan = Plan(
        prepared.model,
        target,
        tuple(node.name for node in layers),
        ranges,
        rounded.weights,
        rounded.shifts,
        fold_clips=FOLD_CLIP in choices.methods,
    )
    if CORRECT_BIAS in choices.methods:
        corrections = correct_biases(plan, samples, progress)
        plan = Plan(**vars(plan) | {"shifts": summed(plan.shifts, corrections)})
    return Planned(plan, prepared, rounded, coverage, told, foreseen)


def finish_int8(
    artifact: Artifact, planned: Planned, shape: tuple[int, ...], keep_float: Sequence[str] = ()
) -> tuple[ModelProto, Int8Facts]:
    """Return the QDQ model of a plan and the facts its manifest records.

    `shape` is that of a sample. Raises QuantizeError when onnxruntime would not run as int8
    what the target says, where this host can tell.
    """
    plan = planned.plan
    quantized = build(plan, keep_float)
    nodes = [n for n in plan.model.graph.node if n.name in set(plan.layers) - set(keep_float)]
    found = _optimized(quantized, shape, artifact)
    unverified = verifiable(plan.target, cpu_facts())
    coverage = {} if unverified else check_fusion(nodes, plan.target, found)
    candidates = [n for n in _quantizable(plan.model, plan.target) if n.op_type not in MOVES]
    floating = [node for node in candidates if node not in nodes]
    macs = _macs(plan.model, shape)
    names = {node.name for node in nodes}
    told = {**planned.told, **dict.fromkeys(keep_float, SEARCHED)}
    facts: Int8Facts = {
        "int8_macs_share": None if unverified else found.int8_macs_share,
        "quantized_macs_share": sum(macs.get(n, 0) for n in names) / (sum(macs.values()) or 1),
        "int8_verified": None if unverified else True,
        "int8_unverified": unverified,
        "foreseen_time": planned.foreseen,
        "fused": coverage,
        "kept_float": sorted(node.name for node in floating),
        "calibration": planned.coverage,
        "float_layers": float_layers(plan.model, names, plan.target, told, macs),
        "prepared": [step.facts() for step in planned.prepared.steps],
        "rescaled": {
            name: {"factor": change.factor.tolist(), "offset": change.offset.tolist()}
            for name, change in sorted(planned.prepared.rescaled.items())
        },
        "rounding_gain_db": {k: round(v, 2) for k, v in sorted(planned.rounded.gains.items())},
        "ranges": {n: [float(low), float(high)] for n, (low, high) in sorted(plan.ranges.items())},
    }
    if planned.prepared.reweighted:
        facts["reweighted"] = sorted(planned.prepared.reweighted)
    return quantized, facts


def check_fusion(
    nodes: Sequence[NodeProto], target: Target, found: Optimized
) -> dict[str, list[int]]:
    """Return per operator [fused, quantized] counts.

    Raises QuantizeError naming the layers that onnxruntime leaves in float although the
    target's entry says it runs them in int8 on this host.
    """
    fused: Counter[str] = Counter()
    total: Counter[str] = Counter()
    left: list[str] = []
    for node in nodes:
        wanted = target.fuses.get(node.op_type)
        if wanted is None:
            continue
        total[node.op_type] += 1
        if wanted in found.layers.get(node.name, []):
            fused[node.op_type] += 1
        else:
            left.append(node.name)
    if left:
        raise QuantizeError(
            f"{len(left)} layers would not run in int8 on this host: {', '.join(left[:6])}"
            f"{' ...' if len(left) > 6 else ''}; leave them in float with --keep-float"
        )
    return {operator: [fused[operator], count] for operator, count in sorted(total.items())}


def _observed(
    prepared: Prepared, layers: Sequence[NodeProto], samples: Sequence[Sample], choices: Choices
) -> Steps[tuple[dict[str, Range], Rounded, dict[str, Any]]]:
    """Have all statistics collected in one pass over the images; derive ranges and weights."""
    model, target, rule = prepared.model, choices.target, range_rule(choices.rule)
    method = rounding_method(choices.methods)
    sources = range_sources(model, layers, joined=True)
    observed = {name: rule.statistic(len(samples)) for name in sorted(set(sources.values()))}
    moments = input_moments(model, layers) if method else {}
    statistics: dict[str, list[Statistic]] = {name: [one] for name, one in observed.items()}
    inputs = {node.name: node.input[0] for node in layers}
    for layer, moment in moments.items():
        statistics.setdefault(inputs[layer], []).append(moment)
    coverage = {name: Coverage() for name in observed}
    for name, one in coverage.items():
        statistics[name].append(one)
    yield Measurement(model, statistics)
    grid = Grid(target.symmetric, 254 if target.symmetric else 255)
    measured = {name: rule.range(statistic, grid) for name, statistic in observed.items()}
    measured |= {name: prepared.ranges[name] for name in measured.keys() & prepared.ranges.keys()}
    ranges = {tensor: measured[source] for tensor, source in sources.items()}
    rounded = round_weights(model, moments, target, method) if method else Rounded({}, {}, {})
    return ranges, rounded, coverage_facts(coverage)


def _sized(model: ModelProto, artifact: Artifact) -> ModelProto:
    """Return a network of a fixed size: its own, or where any goes in that of the images."""
    batch, channels, height, width = artifact.manifest.input.shape
    if None not in (batch, height, width):
        return model
    return with_input_shape(model, (batch or 1, channels or 3, *artifact.manifest.size))


def _quantizable(model: ModelProto, target: Target) -> list[NodeProto]:
    floats = float_tensors(model)
    return [
        node
        for node in model.graph.node
        if node.op_type in target.operators and node.output[0] in floats
    ]


def _macs(model: ModelProto, shape: tuple[int, ...]) -> dict[str, int]:
    """Return the MACs of each layer that has any."""
    batch = dims(model.graph.input[0])[0] or 1
    cost = graph_cost(with_input_shape(model, (batch, *shape[1:])))
    return {node.name: node.macs for node in cost.nodes}


def _optimized(model: ModelProto, shape: tuple[int, ...], artifact: Artifact) -> Optimized:
    batch = artifact.manifest.input.shape[0] or 1
    with scratch_folder() as scratch:
        path = Path(scratch, f"{INPUT_NAME}.onnx")
        onnx.save(model, path)
        return inspect(path, (batch, *shape[1:]))
