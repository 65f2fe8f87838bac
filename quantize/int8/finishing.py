"""From a plan to the int8 file and the facts its manifest records."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto, NodeProto

from export.artifact.artifact import Artifact
from export.artifact.facts import Int8Facts
from export.artifact.manifest import INPUT_NAME
from export.common.errors import QuantizeError
from export.common.files import scratch_folder
from export.onnx_graph.graph import dims, with_input_shape
from export.onnx_graph.onnx_cost import graph_cost
from export.ort.inspection import Optimized, inspect
from export.ort.sessions import cpu_facts
from quantize.graph.float_layers import SEARCHED, float_layers
from quantize.graph.plan import Plan, build
from quantize.host import verifiable
from quantize.int8.layers import Layers, quantizable
from quantize.rewrites.prepare import Prepared
from quantize.rounding.rounding import Rounded
from quantize.target import Target
from quantize.targets import MOVES


@dataclass(frozen=True)
class Planned:
    """A plan, and what is known about how it came to be.

    `coverage` says whether the calibration images were enough (`quantize.calibration.coverage`).
    """

    plan: Plan
    prepared: Prepared
    rounded: Rounded
    layers: Layers
    coverage: dict[str, Any]


def finish_int8(
    artifact: Artifact, planned: Planned, keep_float: Sequence[str] = ()
) -> tuple[ModelProto, Int8Facts]:
    """Return the QDQ model of a plan and the facts its manifest records.

    `keep_float` is as `quantize.graph.plan.build` takes it. Raises QuantizeError when onnxruntime
    would not run as int8 what the target says, where this host can tell.
    """
    plan, spec = planned.plan, artifact.manifest
    shape = (1, spec.input.shape[1], *spec.size)
    quantized = build(plan, keep_float)
    wide = keep_float if plan.target.wide_weight else ()
    in_float = set(keep_float).difference(wide)
    nodes = [n for n in plan.model.graph.node if n.name in set(plan.layers) - in_float]
    optimized = _optimized(quantized, shape, artifact)
    unverified = verifiable(plan.target, cpu_facts())
    coverage = {} if unverified else check_fusion(nodes, plan.target, optimized)
    candidates = [n for n in quantizable(plan.model, plan.target) if n.op_type not in MOVES]
    floating = [node for node in candidates if node not in nodes]
    macs = _macs(plan.model, shape)
    names = {node.name for node in nodes}
    reasons = {**planned.layers.reasons, **dict.fromkeys(keep_float, SEARCHED)}
    facts: Int8Facts = {
        "int8_macs_share": None if unverified else optimized.int8_macs_share,
        "quantized_macs_share": sum(macs.get(n, 0) for n in names) / (sum(macs.values()) or 1),
        "int8_verified": None if unverified else True,
        "int8_unverified": unverified,
        "foreseen_time": planned.layers.foreseen,
        "fused": coverage,
        "kept_float": sorted(node.name for node in floating),
        "calibration": planned.coverage,
        "float_layers": float_layers(plan.model, names, plan.target, reasons, macs),
        "prepared": [step.facts() for step in planned.prepared.steps],
        "rescaled": {
            name: {"factor": change.factor.tolist(), "offset": change.offset.tolist()}
            for name, change in sorted(planned.prepared.rescaled.items())
        },
        "rounding_gain_db": {k: round(v, 2) for k, v in sorted(planned.rounded.gains.items())},
        "ranges": {n: [float(low), float(high)] for n, (low, high) in sorted(plan.ranges.items())},
    }
    if wide:
        facts["wide_weights"] = sorted(wide)
    if planned.prepared.reweighted:
        facts["reweighted"] = sorted(planned.prepared.reweighted)
    if plan.target.inference_precision:
        facts["inference_precision"] = plan.target.inference_precision
    return quantized, facts


def check_fusion(
    nodes: Sequence[NodeProto], target: Target, optimized: Optimized
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
        if wanted in optimized.layers.get(node.name, []):
            fused[node.op_type] += 1
        else:
            left.append(node.name)
    if left:
        raise QuantizeError(
            f"{len(left)} layers would not run in int8 on this host: {', '.join(left[:6])}"
            f"{' ...' if len(left) > 6 else ''}; leave them in float with --keep-float"
        )
    return {operator: [fused[operator], count] for operator, count in sorted(total.items())}


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
