"""What to collect, and several such networks as one: what they compute alike is computed once."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from onnx import AttributeProto, ModelProto, NodeProto, TensorProto

from quantize.calibration.statistics import Statistic

Statistics = Mapping[str, Sequence[Statistic]]
"""By name of the tensor that they are of."""

NEW = 0.25
"""Part of a network's nodes that may be new where it joins others, or it goes alone: two networks
in one session take twice the memory, and no less time if they have little in common."""

_BRANCHES = (AttributeProto.GRAPH, AttributeProto.GRAPHS)


@dataclass(frozen=True)
class Measurement:
    """Fresh `statistics` of tensors of `model`, which are to be updated with every image."""

    model: ModelProto
    statistics: Statistics


@dataclass
class Joint:
    """A network that several others were joined to, and what to collect by its tensors' names.

    Statistics of the same tensor come one behind the other.
    """

    model: ModelProto
    statistics: dict[str, list[Statistic]] = field(default_factory=dict)


def join(measurements: Sequence[Measurement]) -> list[Joint]:
    """Return what to run: as few networks as there are that have little in common.

    The models have the same inputs, of the same names; they are not changed. A node is what
    another one is if operator, attributes and inputs are the same, a constant if its values are:
    value numbering, as compilers do it.
    """
    joined: list[_Joining] = []
    for measurement in measurements:
        for joining in joined:
            new = joining.compare(measurement.model)
            if new is not None and len(new.nodes) <= NEW * len(measurement.model.graph.node):
                joining.add(measurement, new)
                break
        else:
            joined.append(_Joining(measurement))
    return [joining.joint for joining in joined]


@dataclass
class _New:
    """What a model has that another has not, and what its tensors are called there."""

    names: dict[str, str]
    constants: dict[str, TensorProto] = field(default_factory=dict)
    nodes: dict[tuple[object, ...], NodeProto] = field(default_factory=dict)


class _Joining:
    """A network that grows by what others have that it has not."""

    def __init__(self, first: Measurement) -> None:
        graph = first.model.graph
        statistics = {name: list(wanted) for name, wanted in first.statistics.items()}
        self.joint = Joint(first.model, statistics)
        self._own = False
        self._constants: dict[str, str] = {}
        self._nodes: dict[tuple[object, ...], list[str]] = {}
        # what the network has twice is known by the first of its names
        same: dict[str, str] = {}
        for tensor in graph.initializer:
            same[tensor.name] = self._constants.setdefault(_value(tensor), tensor.name)
        for node in graph.node:
            key = _key(node, [same.get(name, name) for name in node.input])
            outputs = self._nodes.setdefault(key, list(node.output))
            same.update(zip(node.output, outputs, strict=True))
        self._taken = {*same, *(value.name for value in graph.input)}

    def compare(self, model: ModelProto) -> _New | None:
        """Return what is new in `model`; None if that cannot be said of one with branches."""
        if _branches(model) or _branches(self.joint.model):
            return None
        new = _New({value.name: value.name for value in model.graph.input} | {"": ""})
        constants, nodes = dict(self._constants), dict(self._nodes)
        for tensor in model.graph.initializer:
            value = _value(tensor)
            if value not in constants:
                constants[value] = self._free(tensor.name)
                copy = new.constants[value] = TensorProto()
                copy.CopyFrom(tensor)
                copy.name = constants[value]
            new.names[tensor.name] = constants[value]
        for node in model.graph.node:
            inputs = [new.names[name] for name in node.input]
            key = _key(node, inputs)
            if key not in nodes:
                nodes[key] = [name and self._free(name) for name in node.output]
                made = new.nodes[key] = NodeProto()
                made.CopyFrom(node)
                made.ClearField("name")  # must be unique or none
                made.input[:], made.output[:] = inputs, nodes[key]
            new.names.update(zip(node.output, nodes[key], strict=True))
        return new

    def add(self, measurement: Measurement, new: _New) -> None:
        """Add the network of a measurement, which has so much that is `new`."""
        if new.nodes:
            if not self._own:
                copy = ModelProto()
                copy.CopyFrom(self.joint.model)
                self.joint.model, self._own = copy, True
            self.joint.model.graph.initializer.extend(new.constants.values())
            self.joint.model.graph.node.extend(new.nodes.values())
            self._constants |= {value: tensor.name for value, tensor in new.constants.items()}
            self._nodes |= {key: list(node.output) for key, node in new.nodes.items()}
        for name, statistics in measurement.statistics.items():
            self.joint.statistics.setdefault(new.names[name], []).extend(statistics)

    def _free(self, name: str) -> str:
        while name in self._taken:
            name += "'"
        self._taken.add(name)
        return name


def _branches(model: ModelProto) -> bool:
    """Whether a node holds a graph, whose names of tensors are not looked at."""
    return any(a.type in _BRANCHES for node in model.graph.node for a in node.attribute)


def _value(tensor: TensorProto) -> str:
    """Identify a constant by type, shape and values."""
    nameless = TensorProto()
    nameless.CopyFrom(tensor)
    nameless.ClearField("name")
    return hashlib.sha256(nameless.SerializeToString(deterministic=True)).hexdigest()


def _key(node: NodeProto, inputs: Sequence[str]) -> tuple[object, ...]:
    attributes = sorted(a.SerializeToString(deterministic=True) for a in node.attribute)
    used = [bool(name) for name in node.output]
    return (node.domain, node.op_type, *attributes, *inputs, *used)
