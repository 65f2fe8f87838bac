"""What ONNX Runtime makes of a file: the optimized graph, and how much of it is int8."""

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import ModelProto

from export.graph import with_input_shape
from export.onnx_cost import INT8_OPS, graph_cost
from export.sessions import CPU, open_session, session_options


@dataclass(frozen=True)
class Optimized:
    """The graph onnxruntime's CPU provider executes.

    `int8_macs_share` is MACs of int8 nodes / all MACs, 0-1. `layers` maps each layer name of
    the file to the operators it became.
    """

    operators: Counter[str]
    int8_macs: int
    macs: int
    layers: dict[str, list[str]]

    @property
    def int8_macs_share(self) -> float:
        """MACs of QLinearConv, QLinearMatMul and QGemm nodes divided by all MACs."""
        return self.int8_macs / self.macs if self.macs else 0.0


def inspect(path: Path, shape: tuple[int, ...]) -> Optimized:
    """Look at the graph onnxruntime's CPU provider runs for the file at `path`.

    `shape` is the input's; it fills in dimensions the file leaves free. MACs are counted on
    the file, whose shapes are standard ONNX, and credited to int8 where the layer's node in
    the optimized graph is an int8 operator. Raises ArtifactError when onnxruntime cannot
    load the file.
    """
    file = onnx.load(path)
    cost = graph_cost(with_input_shape(file, shape))
    optimized = _optimized_graph(path)
    by_length = sorted((n.name for n in file.graph.node if n.name), key=len, reverse=True)
    layers: dict[str, list[str]] = {}
    for node in optimized.graph.node:
        # Fused nodes are named after a layer: "<layer>_token_7", "<layer>_nhwc", "fused <layer>".
        layer = next((name for name in by_length if name in node.name), None)
        if layer:
            layers.setdefault(layer, []).append(node.op_type)
    return Optimized(
        operators=Counter(node.op_type for node in optimized.graph.node),
        int8_macs=sum(n.macs for n in cost.nodes if INT8_OPS & set(layers.get(n.name, []))),
        macs=cost.macs,
        layers=layers,
    )


def _optimized_graph(path: Path) -> ModelProto:
    options = session_options()
    with tempfile.TemporaryDirectory(prefix="segport-") as scratch:
        target = Path(scratch, "optimized.onnx")
        options.optimized_model_filepath = str(target)
        open_session(path, CPU, options)
        return onnx.load(target)
