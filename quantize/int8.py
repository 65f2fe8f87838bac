"""fp32 to int8: standard QDQ, with ranges of our own and onnxruntime's graph surgery."""

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto, NodeProto

from export.artifact import INPUT_NAME, Artifact, Sample
from export.errors import QuantizeError
from export.graph import float_tensors
from export.inspection import Optimized, inspect
from export.sessions import cpu_facts
from quantize.calibration import Progress, collect
from quantize.plan import Plan, build
from quantize.ranges import Range, range_rule
from quantize.selection import matching_layers, output_layers, range_sources
from quantize.targets import Target, verifiable


def quantize_int8(
    artifact: Artifact,
    target: Target,
    samples: Sequence[Sample],
    *,
    rule: str,
    keep_float: Sequence[str],
    progress: Progress,
) -> tuple[ModelProto, dict[str, Any]]:
    """Return the QDQ model for `target` and the facts its manifest records.

    Layers whose output is a graph output, and layers that match a glob of `keep_float`, stay
    in float. Raises QuantizeError when onnxruntime would not run as int8 what the target says.
    """
    model = onnx.shape_inference.infer_shapes(onnx.load(artifact.path))
    kept = matching_layers(model, keep_float) | output_layers(model)
    nodes = [n for n in _quantizable(model, target) if n.name not in kept]
    if not nodes:
        raise QuantizeError(f"{artifact.path.name}: no layer is left that could become int8")
    ranges = activation_ranges(artifact, model, nodes, samples, rule, progress)
    quantized = build(Plan(model, target, tuple(n.name for n in nodes), ranges, {}))
    found = _optimized(quantized, samples[0].image.shape, artifact)
    unverified = verifiable(target, cpu_facts())
    coverage = {} if unverified else check_fusion(nodes, target, found)
    return quantized, {
        "int8_macs_share": found.int8_macs_share,
        "int8_verified": None if unverified else True,
        "int8_unverified": unverified,
        "fused": coverage,
        "kept_float": sorted(kept & {n.name for n in _quantizable(model, target)}),
        "ranges": {name: [float(low), float(high)] for name, (low, high) in sorted(ranges.items())},
    }


def activation_ranges(
    artifact: Artifact,
    model: ModelProto,
    nodes: Sequence[NodeProto],
    samples: Sequence[Sample],
    rule: str,
    progress: Progress,
) -> dict[str, Range]:
    """Measure the tensors that will get a Q/DQ pair and apply the range rule to each."""
    chosen = range_rule(rule)
    sources = range_sources(model, nodes)
    statistics = {name: chosen.statistic() for name in sorted(set(sources.values()))}
    collected = {name: [statistic] for name, statistic in statistics.items()}
    collect(model, artifact.manifest, collected, samples, progress)
    measured = {name: chosen.range(statistic) for name, statistic in statistics.items()}
    return {tensor: measured[source] for tensor, source in sources.items()}


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


def _quantizable(model: ModelProto, target: Target) -> list[NodeProto]:
    floats = float_tensors(model)
    return [
        node
        for node in model.graph.node
        if node.op_type in target.operators and node.output[0] in floats
    ]


def _optimized(model: ModelProto, shape: tuple[int, ...], artifact: Artifact) -> Optimized:
    batch = artifact.manifest.input.shape[0] or 1
    with tempfile.TemporaryDirectory(prefix="segport-") as scratch:
        path = Path(scratch, f"{INPUT_NAME}.onnx")
        onnx.save(model, path)
        return inspect(path, (batch, *shape[1:]))
