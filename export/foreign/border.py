"""Rewrites: a third-party graph gets the input and the outputs that artifacts have.

Nothing inside the network changes: what is needed stands at its border, where a Transpose or
Cast meets one that takes it back, both go.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from export.artifact.manifest import INPUT_NAME
from export.foreign.output_view import OutputView
from export.foreign.view import InputView, Shape
from export.onnx_graph.graph import attribute, attributes, consumers, initializers, rename_reads

_SIDES = ("batch", "channels", "height", "width")
_RANKS = {"logits": 4, "mask": 3}
_MASK_TYPES = {
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "uint8": TensorProto.UINT8,
}
"""Those that stay as they are; others become uint8."""
_TO_LAST = [0, 2, 3, 1]
_TO_FIRST = [0, 3, 1, 2]


def with_border(
    model: ModelProto, view: InputView, outputs: Sequence[OutputView], shape: Shape
) -> ModelProto:
    """Return a copy with the input `input`, float32 (N, C, H, W) of `shape`, and with the
    outputs `logits` (N, classes, h, w) and `mask` (N, h, w) in the order of `outputs`."""
    copy = ModelProto()
    copy.CopyFrom(model)
    border = _Border(copy)
    border.make_room_for([INPUT_NAME, *(seen.becomes for seen in outputs)])
    border.put_input(view, shape)
    border.put_outputs(outputs)
    border.cancel()
    border.name_outputs()
    return copy


class _Border:
    def __init__(self, model: ModelProto) -> None:
        self._graph = model.graph
        self._made = 0
        self._aside: dict[str, str] = {}
        self._ends: dict[str, str] = {}
        self._kinds: dict[str, int] = {}

    def make_room_for(self, names: Sequence[str]) -> None:
        """Rename the tensors that bear the names of an artifact's."""
        graph = self._graph
        self._aside = {name: f"{name}_inner" for name in names}
        for node in graph.node:
            rename_reads(node, self._aside)
            node.output[:] = [self._aside.get(name, name) for name in node.output]
        for tensor in graph.initializer:
            tensor.name = self._aside.get(tensor.name, tensor.name)
        for value in [*graph.input, *graph.output]:
            value.name = self._aside.get(value.name, value.name)

    def put_input(self, view: InputView, shape: Shape) -> None:
        graph, inner = self._graph, self._aside.get(view.name, view.name)
        prefix: list[NodeProto] = []

        def add(operator: str, given: str, *more: str, **settings: Any) -> str:
            out = self._name()
            prefix.append(
                helper.make_node(operator, [given, *more], [out], name=f"border_{out}", **settings)
            )
            return out

        tensor = INPUT_NAME
        if view.order and not self._fold_order(inner, view):
            tensor = add("Gather", tensor, self._constant(np.array(view.order)), axis=1)
        if view.layout == "nhwc":
            tensor = add("Transpose", tensor, perm=_TO_LAST)
        if view.dtype == "uint8":
            tensor = add("Cast", tensor, to=TensorProto.UINT8)
        for node in graph.node:
            rename_reads(node, {inner: tensor})
        nodes = [*prefix, *graph.node]
        del graph.node[:], graph.input[:]
        graph.node.extend(nodes)
        given = [_SIDES[i] if side is None else side for i, side in enumerate(shape)]
        graph.input.append(helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, given))

    def put_outputs(self, outputs: Sequence[OutputView]) -> None:
        del self._graph.output[:]
        for seen in outputs:
            tensor = self._aside.get(seen.name, seen.name)
            as_asked = self._mask if seen.becomes == "mask" else self._logits
            self._ends[seen.becomes] = as_asked(tensor, seen)
            indices = seen.kind == "mask" and seen.dtype in _MASK_TYPES
            kind = _MASK_TYPES[seen.dtype] if indices else TensorProto.UINT8
            self._kinds[seen.becomes] = kind if seen.becomes == "mask" else TensorProto.FLOAT

    def name_outputs(self) -> None:
        """Give the tensors that became outputs their names."""
        graph = self._graph
        computed = {name for node in graph.node for name in node.output}
        for kind, tensor in self._ends.items():
            if tensor in computed and list(self._ends.values()).count(tensor) == 1:
                for node in graph.node:
                    rename_reads(node, {tensor: kind})
                    node.output[:] = [kind if name == tensor else name for name in node.output]
            else:
                self._add("Identity", tensor, out=kind)
            graph.output.append(
                helper.make_tensor_value_info(kind, self._kinds[kind], [None] * _RANKS[kind])
            )

    def _mask(self, tensor: str, seen: OutputView) -> str:
        if seen.layout != "nhw" and not self._flattened(tensor, seen):
            axis = np.array([1 if seen.layout == "nchw" else 3])
            tensor = self._add("Squeeze", tensor, self._constant(axis))
        if seen.kind == "binary-mask":
            shown = self._add("Cast", tensor, to=TensorProto.BOOL)
            return self._add("Cast", shown, to=TensorProto.UINT8)
        if seen.dtype not in _MASK_TYPES:
            tensor = self._add("Cast", tensor, to=TensorProto.UINT8)
        return tensor

    def _flattened(self, tensor: str, seen: OutputView) -> bool:
        """Let the ArgMax itself drop the axis, if it alone makes the mask."""
        makers = [node for node in self._graph.node if tensor in node.output]
        if not makers or makers[0].op_type != "ArgMax" or consumers(self._graph)[tensor]:
            return False
        kept = [a for a in makers[0].attribute if a.name != "keepdims"]
        del makers[0].attribute[:]
        makers[0].attribute.extend([*kept, helper.make_attribute("keepdims", 0)])
        return True

    def _logits(self, tensor: str, seen: OutputView) -> str:
        if seen.kind == "binary-probability" and (logit := self._before_sigmoid(tensor)):
            return self._logits(logit, replace(seen, kind="binary-logit"))
        if seen.layout == "nhw":
            tensor = self._add("Unsqueeze", tensor, self._constant(np.array([1])))
        if seen.layout == "nhwc":
            tensor = self._add("Transpose", tensor, perm=_TO_FIRST)
        if seen.kind == "binary-logit":  # their softmax is the sigmoid
            return self._two_classes(tensor, 0.5, (0.5 * seen.bias, -0.5 * seen.bias))
        if seen.kind == "binary-probability":
            return self._two_classes(tensor, 1.0, (2 * seen.threshold, 0.0))
        return tensor

    def _two_classes(self, tensor: str, factor: float, shift: tuple[float, float]) -> str:
        """Return (-factor, factor) times a one-channel tensor, plus `shift`: two channels."""
        signs = np.array([-factor, factor], np.float32).reshape(1, 2, 1, 1)
        tensor = self._add("Mul", tensor, self._constant(signs))
        if not any(shift):
            return tensor
        moved = np.array(shift, np.float32).reshape(1, 2, 1, 1)
        return self._add("Add", tensor, self._constant(moved))

    def _before_sigmoid(self, tensor: str) -> str | None:
        """Return what goes into the Sigmoid that makes a tensor."""
        producers = {out: node for node in self._graph.node for out in node.output}
        node = producers.get(tensor)
        while node is not None and node.op_type == "Identity":
            node = producers.get(node.input[0])
        return str(node.input[0]) if node is not None and node.op_type == "Sigmoid" else None

    def _fold_order(self, name: str, view: InputView) -> bool:
        """Let the first convolution take its channels in another order, if it alone reads them."""
        readers = consumers(self._graph)[name]
        weights = initializers(self._graph)
        if view.layout != "nchw" or view.dtype == "uint8" or len(readers) != 1:
            return False
        (conv,) = readers
        plain = conv.op_type == "Conv" and attribute(conv, "group", 1) == 1
        if not plain or conv.input[1] not in weights:
            return False
        kernel = numpy_helper.to_array(weights[conv.input[1]])
        conv.input[1] = self._constant(np.ascontiguousarray(kernel[:, view.order]))
        return True

    def cancel(self) -> None:
        """Drop what takes itself back: pairs of Transposes, and Casts to what was there."""
        while self._cancelled():
            pass

    def _cancelled(self) -> bool:
        graph = self._graph
        producers = {out: node for node in graph.node for out in node.output}
        readers = consumers(graph)
        ends = set(self._ends.values())
        for node in graph.node:
            before = producers.get(node.input[0]) if node.input else None
            if before is None or not _border(before, node):
                continue
            alone = len(readers[before.output[0]]) == 1 and before.output[0] not in ends
            if alone and before.op_type == "Cast" and node.op_type == "Transpose":
                # a byte is reordered as well as a float
                _exchange(before, node)
                return True
            if _invert(before, node):
                self._skip(node, before.input[0])
                return True
        return False

    def _skip(self, node: NodeProto, source: str) -> None:
        for reader in self._graph.node:
            rename_reads(reader, {node.output[0]: source})
        self._ends = {k: source if t == node.output[0] else t for k, t in self._ends.items()}
        self._graph.node.remove(node)

    def _add(self, operator: str, *inputs: str, out: str = "", **settings: Any) -> str:
        name = out or self._name()
        self._graph.node.append(
            helper.make_node(operator, list(inputs), [name], name=f"border_{name}", **settings)
        )
        return name

    def _constant(self, array: NDArray[np.generic]) -> str:
        name = self._name()
        self._graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def _name(self) -> str:
        self._made += 1
        return f"segport_{self._made}"


def _border(before: NodeProto, node: NodeProto) -> bool:
    """Whether one of the two is what was put there; the network's own pairs are its own."""
    moving = {before.op_type, node.op_type} <= {"Transpose", "Cast"}
    return moving and (before.name.startswith("border_") or node.name.startswith("border_"))


def _exchange(first: NodeProto, second: NodeProto) -> None:
    """Let two nodes in a row do each other's work."""
    one, other = NodeProto(), NodeProto()
    one.CopyFrom(second)
    other.CopyFrom(first)
    for node, work in ((first, one), (second, other)):
        node.op_type, node.name = work.op_type, work.name
        del node.attribute[:]
        node.attribute.extend(work.attribute)


def _invert(before: NodeProto, node: NodeProto) -> bool:
    """Whether the second node gives what went into the first."""
    if before.op_type != node.op_type:
        return False
    if node.op_type == "Transpose":
        first, second = attributes(before).get("perm"), attributes(node).get("perm")
        return bool(first and second and [first[i] for i in second] == list(range(len(first))))
    # whole numbers from 0 to 255 go into the byte and come out of it as they were
    to_byte = attribute(before, "to") == TensorProto.UINT8
    return to_byte and attribute(node, "to") == TensorProto.FLOAT
