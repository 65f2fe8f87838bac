"""Which nodes become one operator: what an activation is fused into, and what computes in int8."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from onnx import NodeProto

from quantize.graph.qdq_graph import Linear, QdqGraph
from segport.conversion.litert.grid import grid_of, readable
from segport.conversion.litert.operators.table import OPERATORS, Operator

NO_ACTIVATION = "ActivationFunctionType.NONE"
_FUSED = {
    (0.0, np.inf): "ActivationFunctionType.RELU",
    (0.0, 6.0): "ActivationFunctionType.RELU6",
    (-1.0, 1.0): "ActivationFunctionType.RELU_N1_TO_1",
}


@dataclass(frozen=True)
class Layer:
    """A node and what it is written with.

    `results` are the ONNX tensors that its outputs are, behind a fused `activation`; in int8 those
    behind the Q. `grids` are their Qs, none where the layer computes in float.
    """

    node: NodeProto
    results: tuple[str, ...]
    activation: str = NO_ACTIVATION
    grids: tuple[Linear, ...] = field(default=())

    @property
    def int8(self) -> bool:
        """Whether it computes in int8."""
        return bool(self.grids)


def layers(graph: QdqGraph) -> Iterator[Layer]:
    """Yield what is to be written, in order, without what is part of a layer before it."""
    done: set[str] = set()
    for node in graph.nodes:
        if node.name in done or _of_constants(node, graph):
            continue
        layer, absorbed = _layer(node, graph)
        done |= absorbed
        yield layer


def clip_bounds(node: NodeProto, constants: Mapping[str, np.ndarray]) -> tuple[float, float] | None:
    """Return the bounds of a Relu or Clip; None for others, or where they are computed."""
    if node.op_type == "Relu":
        return 0.0, np.inf
    if node.op_type != "Clip" or not {*node.input[1:], ""} <= {*constants, ""}:
        return None
    low, high = ([*node.input, "", ""])[1:3]
    return (
        float(constants[low].reshape(())) if low else -np.inf,
        float(constants[high].reshape(())) if high else np.inf,
    )


def _of_constants(node: NodeProto, graph: QdqGraph) -> bool:
    """Whether a node gives a constant, which whoever reads it is given."""
    linear = graph.dequantizers.get(node.output[0])
    return bool(linear and linear.tensor in graph.constants) or node.output[0] in graph.constants


def _layer(node: NodeProto, graph: QdqGraph) -> tuple[Layer, set[str]]:
    """Return a node's layer, and the names of the nodes behind it that are part of it."""
    operator = OPERATORS.get(node.op_type)
    results = tuple(name for name in node.output if name)
    if operator is None:
        return Layer(node, results), set()
    activation, absorbed = NO_ACTIVATION, set[str]()
    if operator.fuses and (fused := _activation(results[0], graph)):
        activation, behind = fused
        results, absorbed = (str(behind.output[0]),), {behind.name}
    grids = [_only_grid(name, graph) for name in results]
    if operator.int8 and None not in grids and _reads_int8(node, operator, graph):
        quantizers = tuple(grid for grid in grids if grid)
        outputs = tuple(str(grid.node.output[0]) for grid in quantizers)
        absorbed |= {grid.node.name for grid in quantizers}
        return Layer(node, outputs, activation, quantizers), absorbed
    return Layer(node, results, activation), absorbed


def _activation(tensor: str, graph: QdqGraph) -> tuple[str, NodeProto] | None:
    """Return the activation that only reads `tensor`, and which of LiteRT's it is."""
    readers = graph.readers[tensor]
    if len(readers) != 1 or tensor in graph.outputs:
        return None
    bounds = clip_bounds(readers[0], graph.constants)
    return (_FUSED[bounds], readers[0]) if bounds in _FUSED else None


def _only_grid(tensor: str, graph: QdqGraph) -> Linear | None:
    """Return the one Q that reads `tensor`, if nothing else does."""
    readers = graph.readers[tensor]
    if len(readers) != 1 or tensor in graph.outputs:
        return None
    linear = graph.quantizers.get(readers[0].output[0])
    return linear if linear and readable(linear) and linear.scale.size == 1 else None


def _reads_int8(node: NodeProto, operator: Operator, graph: QdqGraph) -> bool:
    """Whether all that carries activations or weights is behind a DQ."""
    data = [name for name in node.input[: operator.data] if name]
    found = [graph.dequantizers.get(name) for name in data]
    return all(linear is not None and readable(linear) for linear in found) and all(
        linear.scale.size == 1 or not any(grid_of(linear).zeros) for linear in found if linear
    )
