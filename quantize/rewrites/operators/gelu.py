"""Rewrite: the factors of a GELU in the order that onnxruntime knows.

PyTorch's exporter writes x * (0.5 * (1 + erf(x / sqrt 2))), for which onnxruntime has five
kernels; for (x * (1 + erf(x / sqrt 2))) * 0.5 it has one. It stays in float.
"""

from onnx import ModelProto

from export.onnx_graph.graph import consumers, initializers
from quantize.rewrites.change import Rewritten, Seen


def order_gelu(model: ModelProto, seen: Seen) -> Rewritten:
    """Multiply by what is not a constant first; `seen` is not needed."""
    changed = ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    readers, constants = consumers(graph), initializers(graph)
    kept = {value.name for value in graph.output}
    done = []
    for erf in [node for node in graph.node if node.op_type == "Erf"]:
        behind = [erf]  # the sum, the product with a half, the one with x
        for operator in ("Add", "Mul", "Mul"):
            following = readers[behind[-1].output[0]]
            if len(following) == 1 and following[0].op_type == operator:
                behind.append(following[0])
        if len(behind) != 4:
            continue
        _, plus, halved, product = behind
        halves = [name for name in halved.input if name in constants]
        factors = [name for name in product.input if name != halved.output[0]]
        if len(halves) != 1 or len(factors) != 1 or halved.output[0] in kept:
            continue
        between = f"{halved.output[0]}/of_input"
        halved.input[:] = [factors[0], plus.output[0]]
        halved.output[:] = [between]
        product.input[:] = [between, halves[0]]
        done.append(product.name)
        for node in (halved, product):  # they compute what no layer of the network did
            node.name = f"{node.name}/ordered"
    return Rewritten(changed, f"{len(done)} GELUs that one kernel computes")
