"""What ONNX Runtime makes of a file: the optimized graph, and how much of it is int8."""

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import ModelProto

from export.common.files import scratch_folder
from export.onnx_graph.graph import with_input_shape
from export.onnx_graph.onnx_cost import INT8_OPS, graph_cost
from export.ort.sessions import CPU, open_session, session_options

_NHWC_SUFFIX = re.compile(r"(_token_\d+)+$")
"""What onnxruntime appends to a layer's name when it turns its int8 operator to NHWC."""


@dataclass(frozen=True)
class Optimized:
    """The graph onnxruntime's CPU provider executes.

    `int8_macs_share` is MACs of int8 nodes / all MACs, 0-1. `layers` maps layer names of the
    file to the operators they became; float layers that were merged or reordered lose their
    name and are missing.
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
    names = {node.name for node in file.graph.node}
    layers: dict[str, list[str]] = {}
    for node in optimized.graph.node:
        layer = _NHWC_SUFFIX.sub("", node.name)
        if layer in names:
            layers.setdefault(layer, []).append(node.op_type)
    return Optimized(
        operators=Counter(node.op_type for node in optimized.graph.node),
        int8_macs=sum(n.macs for n in cost.nodes if INT8_OPS & set(layers.get(n.name, []))),
        macs=cost.macs,
        layers=layers,
    )


def macs_share(path: Path, shape: tuple[int, ...], layers: Collection[str]) -> float:
    """Return the share, 0-1, that `layers` have in the MACs of the file at `path`."""
    cost = graph_cost(with_input_shape(onnx.load(path), shape))
    return sum(n.macs for n in cost.nodes if n.name in layers) / cost.macs if cost.macs else 0.0


def _optimized_graph(path: Path) -> ModelProto:
    options = session_options()
    with scratch_folder() as scratch:
        target = Path(scratch, "optimized.onnx")
        options.optimized_model_filepath = str(target)
        open_session(path, CPU, options)
        return onnx.load(target)
