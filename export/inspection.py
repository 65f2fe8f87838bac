"""What ONNX Runtime makes of a file: the optimized graph, and how much of it is int8."""

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime as ort
from onnx import ModelProto

from export.errors import ArtifactError
from export.onnx_cost import INT8_OPS, graph_cost
from export.sessions import CPU, session_options


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


def optimized_graph(path: Path, shape: tuple[int, ...]) -> ModelProto:
    """Return the graph onnxruntime's CPU provider runs, with all tensor shapes.

    `shape` is the input's; it fills in dimensions the file leaves free. The blocked weight
    layout for float convolutions is left out: it pads channels and would distort MAC counts.
    Raises ArtifactError when onnxruntime cannot load the file.
    """
    options = session_options()
    declared = onnx.load(path, load_external_data=False).graph.input[0].type.tensor_type.shape.dim
    for dim, size in zip(declared, shape, strict=True):
        if dim.dim_param:
            options.add_free_dimension_override_by_name(dim.dim_param, size)
    with tempfile.TemporaryDirectory(prefix="segport-") as scratch:
        target = Path(scratch, "optimized.onnx")
        options.optimized_model_filepath = str(target)
        try:
            ort.InferenceSession(
                str(path), options, providers=[CPU], disabled_optimizers=["NchwcTransformer"]
            )
        except Exception as error:  # onnxruntime raises classes of its C++ side
            first = str(error).strip().splitlines()[0]
            raise ArtifactError(f"{path}: onnxruntime cannot load it ({first})") from error
        return onnx.load(target)


def inspect(path: Path, shape: tuple[int, ...]) -> Optimized:
    """Look at what onnxruntime makes of the file at `path`, one image of `shape`."""
    model = optimized_graph(path, shape)
    cost = graph_cost(model)
    original = sorted((n.name for n in onnx.load(path).graph.node), key=len, reverse=True)
    layers: dict[str, list[str]] = {}
    for node in model.graph.node:
        # Fused nodes are named "<layer>_token_7", "<layer>_nhwc", "fused <layer>".
        layer = next((name for name in original if name and name in node.name), None)
        if layer:
            layers.setdefault(layer, []).append(node.op_type)
    return Optimized(
        operators=Counter(node.op_type for node in model.graph.node),
        int8_macs=sum(node.macs for node in cost.nodes if node.op_type in INT8_OPS),
        macs=cost.macs,
        layers=layers,
    )
