"""Which layers become int8, and why the others stay in float."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnx import ModelProto, NodeProto

from export.artifact.artifact import Artifact
from export.common.errors import QuantizeError
from export.onnx_graph.graph import float_tensors, with_input_shape
from quantize.graph.float_layers import ASKED, FASTER, OUTPUT
from quantize.graph.selection import matching_layers, output_layers, worthwhile
from quantize.partition.partition import estimate, paying
from quantize.rewrites.prepare import Prepared
from quantize.target import Target

_WORTH_CHOOSING = 1e6
"""Nanoseconds that the float layers take, below which no choice among them is noticed."""


@dataclass(frozen=True)
class Layers:
    """The layers to quantize.

    `reasons` say, by name, why others were to stay in float from the start; `foreseen` what part
    of fp32's time the file shall take on its target, None where nothing is known of that.
    """

    nodes: Sequence[NodeProto]
    reasons: Mapping[str, str]
    foreseen: float | None = None


def fixed_float(model: ModelProto, keep_float: Sequence[str]) -> dict[str, str]:
    """Return why layers of a float network stay in float whatever int8 would bring, by name.

    They make a graph output, or match a glob of `keep_float`. Raises UsageError for a glob that
    matches none.
    """
    outputs = dict.fromkeys(output_layers(model), OUTPUT)
    return outputs | dict.fromkeys(matching_layers(model, keep_float), ASKED)


def fp32_time(model: ModelProto, artifact: Artifact, kernels: str | None) -> float:
    """Return the nanoseconds that the float network is foreseen to take; 0 without `kernels`."""
    return estimate(_sized(model, artifact), kernels) if kernels else 0.0


def choose_layers(
    prepared: Prepared,
    artifact: Artifact,
    target: Target,
    fixed: Mapping[str, str],
    fp32_ns: float,
    kernels: str | None,
) -> Layers:
    """Choose the layers of a prepared network that become int8.

    Those in `fixed` stay in float, as do those that only float layers would read and those that
    a rewrite made to run in float, but on hardware without a float unit. With `kernels` only what
    is faster in int8 becomes it. Raises QuantizeError if no layer is left.
    """
    model = prepared.model
    made_float = () if target.everything else prepared.kept_float
    reasons = {**fixed, **dict.fromkeys(made_float, FASTER)}
    candidates = [node for node in quantizable(model, target) if node.name not in reasons]
    nodes, foreseen = worthwhile(model, candidates, target), None
    if kernels and fp32_ns >= _WORTH_CHOOSING:
        sized = _sized(model, artifact)
        nodes = paying(sized, nodes, fp32_ns, kernels) or nodes
        foreseen = round(estimate(sized, kernels, {node.name for node in nodes}) / fp32_ns, 2)
    if not nodes:
        raise QuantizeError(f"{artifact.path.name}: no layer is left that could become int8")
    return Layers(nodes, reasons, foreseen)


def quantizable(model: ModelProto, target: Target) -> list[NodeProto]:
    """Return the nodes that the target could run in int8."""
    floats = float_tensors(model)
    return [
        node
        for node in model.graph.node
        if node.op_type in target.operators and node.output[0] in floats
    ]


def _sized(model: ModelProto, artifact: Artifact) -> ModelProto:
    """Return a network of a fixed size: its own, or where any goes in that of the images."""
    batch, channels, height, width = artifact.manifest.input.shape
    if None not in (batch, height, width):
        return model
    return with_input_shape(model, (batch or 1, channels or 3, *artifact.manifest.size))
