"""A float16 file with some layers computed here and all between them by onnxruntime."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TypeProto, helper, numpy_helper
from torch import Tensor

from export.artifact.artifact import Artifact
from export.onnx_graph.graph import captured, infer_shapes
from export.ort.fp16_emulation import RAW, emulate_fp16
from export.ort.sessions import open_session
from validate.accumulation.layers import LAYERS, compute
from validate.accumulation.sums import dot
from validate.runtime.engine import Outputs, collected, fed

Values = dict[str, NDArray[Any]]


@dataclass
class Tally:
    """What happened in a layer, over all images.

    `error` and `signal` are sums of squares: of the difference from float32 sums of the same
    inputs, and of these sums. `reach` is the largest sum of terms' magnitudes, `largest` the
    largest result.
    """

    error: float = 0.0
    signal: float = 0.0
    reach: float = 0.0
    largest: float = 0.0
    overflowed: bool = False

    def see(self, result: Tensor, rows: Tensor, columns: Tensor) -> None:
        """Compare a result with that in float32."""
        exact = rows @ columns
        finite = bool(torch.isfinite(exact).all())
        self.overflowed |= finite and not torch.isfinite(result).all()
        self.signal += float(exact.double().square().sum())
        self.error += float((result.double() - exact.double()).square().sum())
        self.reach = max(self.reach, float((rows.abs() @ columns.abs()).max()))
        self.largest = max(self.largest, float(exact.abs().max()))


@dataclass
class Accumulating:
    """An engine that adds the products of `layers` up in float16, in an order of `SUMS`.

    All other layers that sum run in float32, and `tallies` says of every one what was seen.
    """

    artifact: Artifact
    order: str
    layers: Collection[str]
    tallies: dict[str, Tally] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Cut the network at its layers."""
        model = emulate_fp16(onnx.load(self.artifact.path))
        self._input = model.graph.input[0].name
        self._names = [spec.name for spec in self.artifact.manifest.outputs]
        self._constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        values = tensor_types(infer_shapes(model))
        kinds = {name: kind.elem_type for name, kind in values.items()}
        ranks = ranks_of(values)
        parts = _with_needed(list(_parts(model.graph.node, ranks)), self._names)
        self._parts = [
            (
                nodes[0] if summing(nodes[0], ranks) else _session(model, kinds, nodes, needed),
                needed,
            )
            for nodes, needed in parts
        ]

    def outputs(self, image: NDArray[Any]) -> Outputs:
        """Run one image, float32 (1, 3, H, W); keep no tensor for longer than it is read."""
        values: Values = {self._input: fed(image, self.artifact.manifest)}
        for part, needed in self._parts:
            if isinstance(part, NodeProto):
                values[part.output[0]] = self._sum(part, values)
            else:
                reads = {i.name: values[i.name] for i in part.get_inputs()}
                names = [o.name for o in part.get_outputs()]
                values |= dict(zip(names, part.run(names, reads), strict=True))
            values = {name: value for name, value in values.items() if name in needed}
        return collected(self.artifact.manifest, [values[name] for name in self._names])

    def _sum(self, node: NodeProto, values: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        tally = self.tallies.setdefault(node.name, Tally())

        def multiply(rows: Tensor, columns: Tensor) -> Tensor:
            half = node.name in self.layers
            result = (
                dot(rows.half(), columns.half(), self.order).float() if half else rows @ columns
            )
            tally.see(result, rows, columns)
            return result

        inputs = [values[n] if n in values else self._constants[n] for n in node.input if n]
        result: NDArray[Any] = compute(node, [torch.tensor(i) for i in inputs], multiply).numpy()
        return result


def summing(node: NodeProto, ranks: Mapping[str, int]) -> bool:
    """Whether a node of an emulated graph adds up products of float16 numbers, and is in LAYERS.

    `ranks` are those of `ranks_of`. Convolutions of one or three axes stay with onnxruntime.
    """
    if node.op_type not in LAYERS or not node.output[0].endswith(RAW):
        return False
    if node.op_type == "Conv":
        return ranks.get(node.input[1]) == 4
    return all(ranks.get(name, 0) >= 2 for name in node.input[:2])


def tensor_types(shaped: ModelProto) -> dict[str, TypeProto.Tensor]:
    """Return type and shape of every tensor that is computed, of a model with inferred shapes."""
    values = [*shaped.graph.input, *shaped.graph.value_info, *shaped.graph.output]
    return {value.name: value.type.tensor_type for value in values}


def ranks_of(types: Mapping[str, TypeProto.Tensor]) -> dict[str, int]:
    """Return the number of axes of every tensor of which it is known."""
    return {name: len(kind.shape.dim) for name, kind in types.items() if kind.HasField("shape")}


def _parts(nodes: Sequence[NodeProto], ranks: Mapping[str, int]) -> Iterator[list[NodeProto]]:
    """Yield layers that sum one by one, and together what lies between two of them."""
    between: list[NodeProto] = []
    for node in nodes:
        if not summing(node, ranks):
            between.append(node)
            continue
        if between:
            yield between
        yield [node]
        between = []
    if between:
        yield between


def _reads(nodes: Sequence[NodeProto]) -> set[str]:
    return {name for node in nodes for name in [*node.input, *captured(node)] if name}


def _with_needed(
    parts: list[list[NodeProto]], outputs: Sequence[str]
) -> list[tuple[list[NodeProto], set[str]]]:
    """Return each part with the tensors that parts behind it read, or that are the result."""
    needed, behind = set(outputs), []
    for part in reversed(parts):
        behind.append((part, set(needed)))
        needed |= _reads(part)
    return behind[::-1]


def _session(
    model: ModelProto, kinds: Mapping[str, int], nodes: list[NodeProto], needed: set[str]
) -> Any:
    """Open a session for some nodes: it gives what is `needed` of them."""
    made = {name for node in nodes for name in node.output}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    reads = _reads(nodes) - made

    def described(names: set[str]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, kinds[name], None) for name in sorted(names)]

    graph = helper.make_graph(
        nodes,
        "part",
        described(reads - constants.keys()),
        described(made & needed),
        [constants[name] for name in sorted(reads & constants.keys())],
    )
    part = helper.make_model(
        graph, opset_imports=list(model.opset_import), ir_version=model.ir_version
    )
    return open_session(part.SerializeToString())
