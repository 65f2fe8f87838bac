"""fp32 to fp16, with a guard against what float16 cannot hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

from export.artifact import Artifact, Sample
from export.fp16_emulation import emulate_fp16
from export.graph import consumers, initializers, normalise
from export.parity import Outputs, measure_parity
from export.pooling import reduced_axes
from export.sessions import named_outputs, open_session
from quantize.calibration.calibration import Progress, collect
from quantize.calibration.statistics import MinMax, PooledSum, Statistic
from quantize.casts import tidy_casts
from quantize.selection import matching_layers, range_sources

FP16_MAX = 65504.0
HEADROOM = 4.0
"""Values on images not seen in calibration may be this many times larger."""
_CHECK_IMAGES = 2


@dataclass(frozen=True)
class Kept:
    """A layer left in fp32 and why: `reason` names the tensor, `value` what it reached."""

    layer: str
    reason: str
    value: float


def quantize_fp16(
    artifact: Artifact,
    samples: Sequence[Sample],
    *,
    io: str,
    guard: bool,
    keep_float: Sequence[str],
    progress: Progress,
) -> tuple[ModelProto, dict[str, Any]]:
    """Return the float16 model and the facts its manifest records.

    `io` "fp32" keeps float32 inputs and outputs behind casts, "fp16" does not. With `guard`
    and samples, layers whose values come within a factor of 4 of 65504 stay in fp32.
    """
    model = onnx.shape_inference.infer_shapes(onnx.load(artifact.path))
    named = matching_layers(model, keep_float)
    kept: list[Kept] = []
    if guard:
        kept = weights_out_of_range(model)
        if len(samples):
            kept += activations_out_of_range(artifact, model, samples, progress)
    blocked = sorted(named | {entry.layer for entry in kept})
    copy = ModelProto()
    copy.CopyFrom(model)
    converted = convert_float_to_float16(
        copy, keep_io_types=(io == "fp32"), node_block_list=blocked, disable_shape_infer=True
    )
    tidy_casts(converted)
    half = normalise(converted)
    onnx.checker.check_model(half, full_check=True)
    return half, {
        "range_checked": bool(guard and len(samples)),
        "kept_float": blocked,
        "guarded": [vars(entry) for entry in kept],
        "emulated": _emulated_check(model, half, samples) if len(samples) else None,
    }


def weights_out_of_range(model: ModelProto) -> list[Kept]:
    """List layers with a constant beyond 65504, which the converter would silently clip."""
    found = []
    constants = initializers(model.graph)
    for node in model.graph.node:
        for name in node.input:
            tensor = constants.get(name)
            if tensor is None or tensor.data_type != TensorProto.FLOAT:
                continue
            largest = float(np.abs(numpy_helper.to_array(tensor)).max(initial=0))
            if largest > FP16_MAX:
                found.append(Kept(node.name, f"weight {name}", largest))
    return found


def activations_out_of_range(
    artifact: Artifact, model: ModelProto, samples: Sequence[Sample], progress: Progress
) -> list[Kept]:
    """Measure every activation, and the sums inside poolings; list layers that come near 65504.

    Both the layer that makes such a tensor and those that read it must stay in fp32, or the
    cast between them would overflow.
    """
    sources = range_sources(model, list(model.graph.node))
    measured = {name: MinMax() for name in sorted(set(sources.values()))}
    watched: dict[str, list[Statistic]] = {name: [seen] for name, seen in measured.items()}
    sums = {}
    for node in model.graph.node:
        axes = _summed_axes(model, node)
        if axes and node.input[0] in watched:
            sums[node.name] = PooledSum(axes)
            watched[node.input[0]].append(sums[node.name])
    collect(model, artifact.manifest, watched, samples, progress)
    extremes = {tensor: measured[source] for tensor, source in sources.items()}

    limit = FP16_MAX / HEADROOM
    readers = consumers(model.graph)
    found: dict[str, Kept] = {}
    for node in model.graph.node:
        for tensor in node.output:
            if tensor in extremes and (reached := extremes[tensor].magnitude) > limit:
                for layer in [node, *readers[tensor]]:
                    found.setdefault(layer.name, Kept(layer.name, f"tensor {tensor}", reached))
        reached = _accumulated(node, sums, extremes)
        if reached > limit:
            found.setdefault(node.name, Kept(node.name, f"sum over {node.input[0]}", reached))
    return list(found.values())


def _accumulated(
    node: NodeProto, sums: Mapping[str, PooledSum], extremes: Mapping[str, MinMax]
) -> float:
    """Return the most a pooling adds up before it divides; 0 for other layers."""
    if node.op_type == "AveragePool" and node.input[0] in extremes:
        kernel = next(a.ints for a in node.attribute if a.name == "kernel_shape")
        return extremes[node.input[0]].magnitude * prod(kernel)
    return sums[node.name].high if node.name in sums else 0.0


def _summed_axes(model: ModelProto, node: NodeProto) -> tuple[int, ...]:
    """Axes over which `node` adds up its whole input; () for a node that does not."""
    if node.op_type == "GlobalAveragePool":
        return (2, 3)
    return tuple(reduced_axes(model, node)) if node.op_type in ("ReduceMean", "ReduceSum") else ()


def _emulated_check(
    model: ModelProto, half: ModelProto, samples: Sequence[Sample]
) -> dict[str, Any]:
    """Compare fp32 with float16 rounding on the first calibration images."""
    reference = open_session(model.SerializeToString())
    emulated = open_session(emulate_fp16(half).SerializeToString())
    batch = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1
    dtype = np.float16 if "float16" in emulated.get_inputs()[0].type else np.float32
    pairs: list[tuple[Outputs, Outputs]] = []
    finite = True
    for index in range(min(_CHECK_IMAGES, len(samples))):
        image = np.repeat(samples[index].image, batch, axis=0)
        left = named_outputs(reference, image)
        right = named_outputs(emulated, image.astype(dtype))
        finite &= all(bool(np.isfinite(array).all()) for array in right.values())
        pairs.append((left, right))
    return {"finite": finite, "argmax_agreement": measure_parity(pairs).argmax_agreement}
