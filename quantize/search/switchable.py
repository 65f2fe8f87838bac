"""One graph in which every quantized tensor can be switched to float and back."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from export.graph import consumers, float_tensors, infer_shapes, initializers
from quantize.plan import Plan, build
from quantize.selection import range_sources

FLAGS = "segport_flags"
"""Name of the added input: bool (units,), True where the unit is quantized."""
_COPY = "::float"


@dataclass(frozen=True)
class Unit:
    """Tensors that become int8 together: an activation, or the constants of one layer.

    They are float again only when all of `layers`, in graph order, are: an int8 operator
    needs a Q on each of its inputs and outputs.
    """

    name: str
    layers: tuple[str, ...]


@dataclass(frozen=True)
class _Switch:
    """A DequantizeLinear, the float tensor it stands in for, and the unit both belong to."""

    node: NodeProto
    original: str
    unit: str
    layers: frozenset[str]


def switchable(plan: Plan) -> tuple[ModelProto, tuple[Unit, ...]]:
    """Return the graph of `plan` with one flag per unit, and the units in graph order.

    Behind every DequantizeLinear of the QDQ graph comes Where(flag, dequantized, original):
    scales, zero points and integers are exactly those `build` writes, and onnxruntime finds
    nothing to fuse into int8 operators. The only output is the float32 tensor that the first
    output of the network is, or is the argmax of.
    """
    model = build(plan)
    _restore_clipping(plan, model)
    switches = list(_switches(plan, model))
    units = _units(plan, switches)
    _insert(model, switches, {unit.name: index for index, unit in enumerate(units)})
    _restore_constants(plan.model, model)
    model.graph.input.append(helper.make_tensor_value_info(FLAGS, TensorProto.BOOL, [len(units)]))
    del model.graph.output[:], model.graph.value_info[:]  # the logits may be among the latter
    model.graph.output.append(onnx.ValueInfoProto(name=_logits(plan.model)))
    return model, units


def _restore_clipping(plan: Plan, model: ModelProto) -> None:
    """Put back, in place, the Relus and Clips that a Q does the work of: float needs them."""
    gone = set(plan.layers) - {node.name for node in model.graph.node}
    producers = {name: node for node in model.graph.node for name in node.output}
    for node in reversed([node for node in plan.model.graph.node if node.name in gone]):
        producer = producers[node.output[0]]
        producer.output[list(producer.output).index(node.output[0])] = node.input[0]
        producers[node.input[0]] = producer
        model.graph.node.insert(list(model.graph.node).index(producer) + 1, node)


def _switches(plan: Plan, model: ModelProto) -> Iterator[_Switch]:
    originals = {node.name: node for node in plan.model.graph.node}
    writers = _writers(plan, [originals[name] for name in plan.layers])
    constants = initializers(plan.model.graph)
    quantizers = {n.output[0]: n for n in model.graph.node if n.op_type == "QuantizeLinear"}
    readers = consumers(model.graph)
    for node in model.graph.node:
        if node.op_type != "DequantizeLinear":
            continue
        around = [n for n in readers[node.output[0]] if n.name in originals]
        layers = {n.name for n in around}
        quantizer = quantizers.get(node.input[0])
        if quantizer is not None and quantizer.input[0] not in constants:
            tensor = quantizer.input[0]
            layers |= writers.get(tensor, set())
            yield _Switch(node, tensor, tensor, frozenset(layers))
        elif around:
            position = list(around[0].input).index(node.output[0])
            weight = originals[around[0].name].input[position]
            name = f"weights of {' and '.join(sorted(layers))}"
            yield _Switch(node, weight + _COPY, name, frozenset(layers))


def _writers(plan: Plan, nodes: Sequence[NodeProto]) -> dict[str, set[str]]:
    """Return the layers that put a Q on each tensor they compute.

    A convolution that a Relu or Clip follows counts among them: alone in int8 it would have a
    Q of the same range on its own output.
    """
    if not plan.target.quantized_outputs:
        return {}
    writers: dict[str, set[str]] = defaultdict(set)
    sources = range_sources(plan.model, nodes)
    for node in nodes:
        for tensor in node.output:
            writers[sources.get(tensor, tensor)].add(node.name)
    return writers


def _units(plan: Plan, switches: Sequence[_Switch]) -> tuple[Unit, ...]:
    around: dict[str, set[str]] = defaultdict(set)
    for switch in switches:
        around[switch.unit] |= switch.layers
    return tuple(
        Unit(name, tuple(layer for layer in plan.layers if layer in layers))
        for name, layers in around.items()
    )


def _insert(model: ModelProto, switches: Sequence[_Switch], positions: Mapping[str, int]) -> None:
    """Let each Where take over the name of the DequantizeLinear's output, in place."""
    graph = model.graph
    for index in positions.values():
        graph.initializer.append(numpy_helper.from_array(np.array(index), f"{FLAGS}::{index}"))
    by_output = {switch.node.output[0]: switch for switch in switches}
    nodes = [
        helper.make_node("Gather", [FLAGS, f"{FLAGS}::{i}"], [f"{FLAGS}::is{i}"])
        for i in positions.values()
    ]
    for node in graph.node:
        nodes.append(node)
        if (switch := by_output.get(node.output[0])) is None:
            continue
        name, dequantized = node.output[0], f"{node.output[0]}::dequantized"
        flag = f"{FLAGS}::is{positions[switch.unit]}"
        node.output[0] = dequantized
        nodes.append(helper.make_node("Where", [flag, dequantized, switch.original], [name]))
    kept = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)


def _restore_constants(source: ModelProto, model: ModelProto) -> None:
    """Add the float weights that the Where nodes read, and the bounds of restored Clips."""
    wanted = {name for node in model.graph.node for name in node.input}
    wanted -= {name for node in model.graph.node for name in node.output}
    wanted -= {tensor.name for tensor in model.graph.initializer}
    for tensor in source.graph.initializer:
        for name in wanted & {tensor.name, tensor.name + _COPY}:
            copy = model.graph.initializer.add()
            copy.CopyFrom(tensor)
            copy.name = name


def _logits(model: ModelProto) -> str:
    """Return the first output, or the float tensor that an argmax made it from."""
    floats = float_tensors(infer_shapes(model))
    producers = {name: node for node in model.graph.node for name in node.output}
    name = str(model.graph.output[0].name)
    while name not in floats:
        name = producers[name].input[0]
    return name
