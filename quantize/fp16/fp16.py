"""fp32 to fp16, with a guard against what float16 cannot hold."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

from export.artifact.artifact import Artifact, Sample
from export.onnx_graph.graph import consumers, float_tensors, infer_shapes, initializers, normalise
from export.onnx_graph.pooling import reduced_axes
from export.ort.fp16_emulation import emulate_fp16
from export.ort.parity import Outputs, measure_parity
from export.ort.sessions import named_outputs, open_session
from quantize.calibration.calibration import Progress
from quantize.calibration.measurement import Measurement, Steps
from quantize.calibration.statistics import MinMax, PooledSum, Statistic
from quantize.fp16.batch_norms import fold_statistics
from quantize.fp16.casts import branching_layers, tidy_casts, widen_captures
from quantize.graph.selection import matching_layers, range_sources
from quantize.rewrites.prepare import prepare_for
from quantize.rounding.half import round_to_half
from quantize.rounding.moments import InputMoments
from quantize.rounding.rounding import input_moments

FP16_MAX = 65504.0
HEADROOM = 4.0
"""Values on images not seen in calibration may be this many times larger."""
_CHECK_IMAGES = 2
_REWRITES = ("repair-dead-channels",)
"""float16 cannot hold such weights either; what int8 measures is then this network too."""


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
) -> Steps[tuple[ModelProto, dict[str, Any]]]:
    """Return the float16 model and the facts its manifest records.

    `io` "fp32" keeps float32 inputs and outputs behind casts, "fp16" does not. With `guard`
    and samples, layers whose values come within a factor of 4 of 65504 stay in fp32. Samples
    also tell how to round weights (`quantize.rounding.half`); without, each is rounded to nearest.
    """
    methods = _REWRITES if len(samples) else ()
    prepared = yield from prepare_for(
        artifact,
        infer_shapes(onnx.load(artifact.path)),
        methods,
        samples,
        progress=progress,
    )
    model = fold_statistics(prepared.model)
    named = matching_layers(model, keep_float)
    beyond = weights_out_of_range(model)
    unfit = named | {entry.layer for entry in beyond}
    moments = input_moments(model, [node for node in model.graph.node if node.name not in unfit])
    kept: list[Kept] = beyond if guard else []
    gains: dict[str, float] = {}
    rounded = model
    if len(samples):
        watched = _Watched(model)
        yield Measurement(model, watched.with_inputs(moments))
        kept += watched.out_of_range() if guard else []
        unfit |= {entry.layer for entry in kept}
        rounded, gains = round_to_half(
            model, {layer: seen for layer, seen in moments.items() if layer not in unfit}
        )
    blocked = sorted(named | {entry.layer for entry in kept} | branching_layers(model))
    converted = convert_float_to_float16(
        rounded, keep_io_types=(io == "fp32"), node_block_list=blocked, disable_shape_infer=True
    )
    widen_captures(converted, set(float_tensors(model)))
    tidy_casts(converted)
    half = normalise(converted)
    # what the check does not need, before it opens two sessions
    moments.clear()
    del rounded, converted
    onnx.checker.check_model(half, full_check=True)
    return half, {
        "prepared": [asdict(step) for step in prepared.steps],
        "range_checked": bool(guard and len(samples)),
        "kept_float": blocked,
        "guarded": [vars(entry) for entry in kept],
        "rounding_gain_db": {layer: round(gain, 2) for layer, gain in sorted(gains.items())},
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


class _Watched:
    """Every activation's extremes, and the sums inside poolings."""

    def __init__(self, model: ModelProto) -> None:
        self._model = model
        self._sources = range_sources(model, list(model.graph.node))
        self._seen = {name: MinMax() for name in sorted(set(self._sources.values()))}
        self._sums: dict[str, PooledSum] = {}
        for node in model.graph.node:
            axes = _summed_axes(model, node)
            if axes and node.input[0] in self._seen:
                self._sums[node.name] = PooledSum(axes)

    def with_inputs(self, moments: Mapping[str, InputMoments]) -> dict[str, list[Statistic]]:
        """Return all statistics to collect by tensor, also those of layers' inputs."""
        found: dict[str, list[Statistic]] = {name: [seen] for name, seen in self._seen.items()}
        for node in self._model.graph.node:
            for statistic in (self._sums.get(node.name), moments.get(node.name)):
                if statistic is not None:
                    found.setdefault(node.input[0], []).append(statistic)
        return found

    def out_of_range(self) -> list[Kept]:
        """List the layers with a tensor that came near 65504.

        Both the layer that makes such a tensor and those that read it must stay in fp32, or
        the cast between them would overflow.
        """
        extremes = {tensor: self._seen[source] for tensor, source in self._sources.items()}
        limit = FP16_MAX / HEADROOM
        readers = consumers(self._model.graph)
        found: dict[str, Kept] = {}
        for node in self._model.graph.node:
            for tensor in node.output:
                if tensor in extremes and (reached := extremes[tensor].magnitude) > limit:
                    for layer in [node, *readers[tensor]]:
                        found.setdefault(layer.name, Kept(layer.name, f"tensor {tensor}", reached))
            reached = _accumulated(node, self._sums, extremes)
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
