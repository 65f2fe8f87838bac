"""Which layer of the file a kernel of the optimized graph computes, and its MACs."""

import math
import re
from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from export.onnx_graph.graph import attributes, dims, with_input_shape
from export.onnx_graph.onnx_cost import MAC_RULES, Shapes, graph_cost
from validate.profiling.kernels import Kernel

_APPENDED = re.compile(r"(_token_\d+|_nchwc|/MatMulAddFusion)+$")
_PREPENDED = re.compile(r"^(fused |InsertedPrecisionFreeCast_)+")
"""What onnxruntime adds to the name of a layer or, reordering it, of the tensor it makes."""

_NORMALIZATION = "_bn"
"""The same for a BatchNormalization that became a convolution."""


class Layers:
    """The layers of a file, to be found from what onnxruntime made of them."""

    def __init__(self, file: ModelProto, optimized: ModelProto, shape: tuple[int, ...]) -> None:
        """`shape` is the input's; `optimized` is onnxruntime's graph of `file`."""
        shaped = with_input_shape(file, shape)
        self._names = {node.name: node for node in file.graph.node}
        self._makers = {name: node for node in file.graph.node for name in node.output}
        self._cost = {node.name: node.macs for node in graph_cost(shaped).nodes}
        self._inside = shares_inside(shaped)
        self._optimized = {node.name: node for node in optimized.graph.node if node.name}
        self._weights: Shapes = {t.name: tuple(t.dims) for t in optimized.graph.initializer}
        self._sizes = {t.name: _bytes(t) for t in optimized.graph.initializer}
        self.macs = sum(self._cost.values())

    def layer(self, kernel: Kernel) -> str | None:
        """Return the name of the layer a kernel computes, None where nothing tells.

        Operators with MACs that were fused with what follows them are named after the layer
        that has the MACs: fusion into onnxruntime's blocked layout keeps only the name of the last
        tensor, from which the way back leads through element-wise operators.
        """
        node = self._origin(kernel)
        if node is None:
            return None
        if kernel.operator in MAC_RULES:
            node = self._multiplying(node) or node
        return str(node.name)

    def macs_of(self, kernel: Kernel) -> int:
        """Return the MACs of a kernel: the file's for its layer, where that is known.

        The file's, because the optimized graph pads channels to whole blocks and that is no
        work the network asked for. Nor are there any in a BatchNormalization that onnxruntime
        computes as a depthwise convolution: element-wise work is not counted (see
        `export.onnx_graph.onnx_cost`). Where no layer is known the optimized graph's own shapes
        count.
        """
        if kernel.operator not in MAC_RULES:
            return 0
        layer = self.layer(kernel)
        if layer is not None:
            return self._cost.get(layer, 0)
        node = self._optimized.get(kernel.name)
        if node is None:
            return 0
        rule, weight = MAC_RULES[kernel.operator]
        try:
            return rule(node, {**self._weights, node.output[0]: kernel.output}, weight)
        except KeyError:
            return 0

    def computed_macs_of(self, kernel: Kernel) -> int:
        """Return the MACs that onnxruntime's kernel computes, to be compared with a peak.

        Its float convolutions leave out products with padding, at dilation 18 on 32 x 32 pixels
        half of all; those of other types multiply with it.
        """
        share = self._inside.get(self.layer(kernel) or "", 1.0) if kernel.kind == "float" else 1.0
        return round(share * self.macs_of(kernel))

    def bytes_of(self, kernel: Kernel) -> int:
        """Return the bytes a kernel moves: its activations, as they are padded, and its weights.

        The profiler leaves out weights that onnxruntime has put into an order of its own.
        """
        node = self._optimized.get(kernel.name)
        read = node.input if node is not None and kernel.bytes else ()
        return kernel.bytes + sum(self._sizes.get(name, 0) for name in read)

    def _origin(self, kernel: Kernel) -> NodeProto | None:
        bare = _PREPENDED.sub("", _APPENDED.sub("", kernel.name))
        spellings = (kernel.name, bare, bare.removesuffix(_NORMALIZATION))
        known = (self._names.get(name) or self._makers.get(name) for name in spellings)
        origin = next((node for node in known if node is not None), None)
        if origin is None and (node := self._optimized.get(kernel.name)) is not None:
            origin = next((self._makers[t] for t in node.output if t in self._makers), None)
        return origin

    def _multiplying(self, node: NodeProto) -> NodeProto | None:
        """Return the nearest node with MACs, going back from `node` through what can be fused."""
        front: Sequence[NodeProto] = [node]
        while front:
            for one in front:
                if one.name in self._cost:
                    return one
            front = [
                self._makers[name]
                for one in front
                if one.op_type in _FUSED
                for name in one.input
                if name in self._makers and self._follows(one, self._makers[name])
            ]
        return None

    def _follows(self, node: NodeProto, before: NodeProto) -> bool:
        """Whether the two may be one kernel; a BatchNormalization only joins a convolution."""
        return node.op_type != "BatchNormalization" or before.name in self._cost


def _bytes(tensor: TensorProto) -> int:
    kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return math.prod(tensor.dims) * kind.itemsize


_FUSED = frozenset(
    {
        "Add", "BatchNormalization", "Cast", "Clip", "HardSigmoid", "LeakyRelu", "Mul",
        "QuantizeLinear", "DequantizeLinear", "Relu", "Sigmoid", "Tanh",
    }
)  # fmt: skip
"""What onnxruntime puts into the kernel of the convolution or product before it."""


def shares_inside(shaped: ModelProto) -> dict[str, float]:
    """Return by name how much of every padded Conv's products is with pixels, not with padding."""
    values = [*shaped.graph.input, *shaped.graph.output, *shaped.graph.value_info]
    shapes: Shapes = {value.name: dims(value) for value in values}
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in shaped.graph.initializer}
    shares = {}
    for node in shaped.graph.node:
        given = attributes(node)
        if node.op_type != "Conv" or "pads" not in given:
            continue
        source, kernel, target = (
            [size or 0 for size in shapes[name][2:]]
            for name in (node.input[0], node.input[1], node.output[0])
        )
        share = 1.0
        for axis, size in enumerate(source):
            taps = np.arange(kernel[axis]) * given.get("dilations", (1, 1))[axis]
            strides = np.arange(target[axis]) * given.get("strides", (1, 1))[axis]
            first = strides - given["pads"][axis]
            position = first[:, None] + taps
            share *= float(((position >= 0) & (position < size)).mean())
        shares[node.name] = share
    return shares
