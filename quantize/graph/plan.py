"""What is decided before Q/DQ pairs go in: layers, ranges, and the integers of every weight."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import onnx
from onnx import ModelProto

from export.onnx_graph.graph import consumers, float_tensors, initializers, normalise
from quantize.graph.biases import Shifts, with_shifted_biases
from quantize.graph.clips import CLIPPING
from quantize.graph.insertion.fixed_scales import WEIGHTED
from quantize.graph.qdq import insert_qdq
from quantize.graph.rounded_weight import RoundedWeight
from quantize.ranges.ranges import Range
from quantize.target import Target


@dataclass(frozen=True)
class Plan:
    """A float network and how each part of it becomes int8.

    `model` is prepared (rewritten) but still float32. `layers` are the names of the nodes to
    quantize, `ranges` the (low, high) of every activation around them, by tensor name.
    `weights` maps initializer names to their integers; those not in it are rounded to nearest.
    `shifts` correct the biases of layers for what rounding them does. With `fold_clips` a Relu
    or Clip whose work a Q's range does is left out.
    """

    model: ModelProto
    target: Target
    layers: tuple[str, ...]
    ranges: Mapping[str, Range]
    weights: Mapping[str, RoundedWeight]
    shifts: Shifts = field(default_factory=dict)
    fold_clips: bool = True


def build(plan: Plan, keep_float: Collection[str] = ()) -> ModelProto:
    """Return the QDQ model, with the layers named in `keep_float` left in float.

    With all of them it is the float network. On a target with wide weights they get these instead.
    """
    wide = keep_float if plan.target.wide_weight else ()
    layers = [name for name in plan.layers if name in wide or name not in keep_float]
    if not layers:  # onnxruntime's quantizer takes an empty list for all layers
        return plan.model
    shifts = {name: shift for name, shift in plan.shifts.items() if name not in keep_float}
    quantized = normalise(
        insert_qdq(
            with_shifted_biases(plan.model, shifts),
            layers,
            plan.target,
            plan.ranges,
            plan.weights,
            wide=wide,
            fold_clips=plan.fold_clips,
        )
    )
    onnx.checker.check_model(quantized)
    return quantized


def rounded_for(plan: Plan) -> dict[str, set[str]]:
    """Return the layers in int8 for whose sake each float tensor has a Q/DQ pair."""
    readers = consumers(plan.model.graph)
    layers = set(plan.layers)
    served = {
        name: {node.name for node in readers[name]} & layers for name in float_tensors(plan.model)
    }
    if plan.target.quantized_outputs:
        for node in plan.model.graph.node:
            for name in set(node.output) & served.keys() if node.name in layers else ():
                served[name].add(node.name)
    return served


def really_float(plan: Plan, keep_float: Collection[str]) -> frozenset[str]:
    """Return those of the layers in `keep_float` that become more exact by it.

    They are those with weights where these become wide, else those that onnxruntime leaves in
    float.

    Where a convolution reads a rounded tensor, and what it gives, through a Relu or Clip, is
    rounded too, onnxruntime quantizes its weights by itself as it loads the file, with one scale
    for all channels: worse than the int8 that was planned. Files for onnxruntime's own targets
    keep it from that (`quantize.graph.kept_float`); in those for other runtimes, which it only
    judges, nothing is gained by leaving such a layer in float.
    """
    if plan.target.wide_weight:
        constants = initializers(plan.model.graph)
        nodes = [node for node in plan.model.graph.node if node.op_type in WEIGHTED]
        weighted = {node.name for node in nodes if node.input[1] in constants}
        return frozenset(weighted.intersection(keep_float))
    if plan.target.machines:
        return frozenset(keep_float)
    rounded = {name for name, held in rounded_for(plan).items() if not held.issubset(keep_float)}
    readers = consumers(plan.model.graph)
    kept = set(keep_float)
    for node in plan.model.graph.node:
        if node.op_type not in _REQUANTIZED or node.name not in kept:
            continue
        if node.input[0] not in rounded:
            continue
        chain = [node]
        while chain[-1].output[0] not in rounded:
            read = readers[chain[-1].output[0]]
            if len(read) != 1 or read[0].op_type not in CLIPPING:
                break
            chain.append(read[0])
        else:
            kept.difference_update(passed.name for passed in chain)
    return frozenset(kept)


_REQUANTIZED = ("Conv", "ConvTranspose", "Gemm")
