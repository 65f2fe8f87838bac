"""Which layers of an int8 file stay in float, and why each does."""

from collections.abc import Collection, Mapping

from onnx import ModelProto, NodeProto

from export.artifact.facts import FloatLayerFacts
from export.onnx_graph.graph import consumers, float_tensors, initializers
from export.onnx_graph.onnx_cost import FREE
from quantize.graph.fused_float import gelu_parts
from quantize.target import Target
from quantize.targets import MOVES

OUTPUT = "gives the output"
ASKED = "--keep-float"
FASTER = "faster in float"
SEARCHED = "the search leaves it"
_UNSUPPORTED = "no int8 operator for it"
_GELU = "part of a GELU, one float kernel"
_ATTENTION = "product of two activations, slower in int8"
_READ = "only float layers read it"
_MADE = "reads float layers only"


def float_layers(
    model: ModelProto,
    quantized: Collection[str],
    target: Target,
    told: Mapping[str, str],
    macs: Mapping[str, int],
) -> list[FloatLayerFacts]:
    """Return the float layers of `model` in graph order; those that only move values do not count.

    `quantized` are the layers in int8, `told` the reasons that are known of some others, `macs`
    those of each layer that has any.
    """
    floats = float_tensors(model)
    fused = gelu_parts(model)
    constants = initializers(model.graph)
    readers = consumers(model.graph)
    total = sum(macs.values()) or 1

    def reason(node: NodeProto) -> str:
        if node.name in told:
            return told[node.name]
        if node.name in fused:
            return _GELU
        if node.op_type not in target.operators:
            return _UNSUPPORTED
        if node.op_type == "MatMul" and constants.keys().isdisjoint(node.input):
            return _ATTENTION
        read = any(r.name in quantized for name in node.output for r in readers[name])
        return _MADE if read else _READ

    return [
        {
            "layer": node.name,
            "operator": node.op_type,
            "reason": reason(node),
            "macs_share": macs.get(node.name, 0) / total,
        }
        for node in model.graph.node
        if node.op_type not in FREE - {"Concat"} | set(MOVES)
        and node.name not in quantized
        and floats.keys() & set(node.output)
    ]
