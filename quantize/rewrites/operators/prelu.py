"""Rewrite: PRelu, for which onnxruntime has no fast kernel, as operators for which it has one.

Its PRelu runs on one core, and leaves the blocked layout in which convolutions, Relu and Add work.
With s the slope of a channel, PRelu(x) = s x + (1 - s) Relu(x). Both products are convolutions of
one pixel and one channel; one takes the Relu in, the other the Add. Where s > 1 the second part
would have to be subtracted, so the sum is made of the opposites and turned around in the end. 64
of them take 13 of ESPNetv2's 65 ms, and 4 so. Channels that do not fill the blocks of that layout
gain nothing by it: there the larger of x and s x is taken, or the sum made value by value.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from export.onnx_graph.graph import float_tensors, initializers
from quantize.rewrites.change import Rewritten, Seen

BLOCK = 16
"""Channels that lie side by side in onnxruntime's blocked layout."""


def write_out_prelu(model: ModelProto, seen: Seen) -> Rewritten:
    """Apply the rewrite to each PRelu of an image with one slope per channel."""
    changed = ModelProto()
    changed.CopyFrom(model)
    graph, shapes, constants = changed.graph, float_tensors(changed), initializers(changed.graph)
    nodes: list[NodeProto] = []
    new: set[str] = set()
    done = 0
    for node in graph.node:
        made: list[NodeProto] = []
        shape = shapes.get(node.input[0], ()) if node.op_type == "PRelu" else ()
        if len(shape) == 4 and node.input[1] in constants:
            slopes = numpy_helper.to_array(constants[node.input[1]])
            per_channel = slopes.shape[-3:] == (shape[1], 1, 1) and slopes.size == shape[1]
            made = _written_out(graph, node, slopes.reshape(-1)) if per_channel else []
        nodes += made or [node]
        new.update(part.name for part in made)
        done += bool(made)
    del graph.node[:]
    graph.node.extend(nodes)
    # rounded one by one they would lose 2 points of ESPNetv2's agreement
    return Rewritten(changed, f"{done} PRelu", kept_float=frozenset(new))


def _written_out(graph: GraphProto, node: NodeProto, slopes: NDArray[Any]) -> list[NodeProto]:
    """Return the nodes that give what `node` gives."""
    steep = bool((slopes > 1).any())
    channels = len(slopes)
    nodes: list[NodeProto] = []

    def add(operator: str, inputs: list[str], **given: Any) -> str:
        name = f"{node.name}/{operator}_{len(nodes)}"
        nodes.append(helper.make_node(operator, inputs, [name], name=name, **given))
        return name

    def scaled(tensor: str, factors: NDArray[Any]) -> str:
        name = f"{node.name}/factors_{len(nodes)}"
        weight = factors.reshape(channels, 1, 1, 1).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(weight, name))
        return add("Conv", [tensor, name], group=channels, kernel_shape=[1, 1])

    x = node.input[0]
    if channels % BLOCK == 0:
        sign = np.where(slopes > 1, -1, 1)
        bent = add("Relu", [scaled(x, sign * (1 - slopes))])
        total = add("Add", [scaled(x, sign * slopes), bent])
        if steep:
            scaled(total, sign)
    elif steep:
        name = f"{node.name}/rest"
        rest = (1 - slopes).reshape(1, channels, 1, 1).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(rest, name))
        bent = add("Mul", [add("Relu", [x]), name])
        add("Add", [add("Mul", [x, node.input[1]]), bent])
    else:
        add("Max", [x, add("Mul", [x, node.input[1]])])
    nodes[-1].output[0] = node.output[0]
    return nodes
