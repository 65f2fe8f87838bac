"""Choose which layers become int8 by what they and the conversions between them cost.

A layer costs what its float or its int8 kernel takes; a tensor whose maker and reader differ is
converted, once for all readers. The choice with the smallest sum is a minimum cut.
"""

from collections.abc import Sequence

from onnx import ModelProto, NodeProto

from export.graph import consumers, float_tensors, initializers
from quantize.partition.costs import CONVERSION, cost, size
from quantize.partition.cut import INFINITE, Cut

_CLIPPING = ("Relu", "Clip")
FAVOUR = 0.7
"""int8 counts as so much of its cost: it also makes the file small, and others' runtimes faster."""


def paying(model: ModelProto, layers: Sequence[NodeProto]) -> list[NodeProto]:
    """Return those of the `layers` of a float network with inferred shapes that int8 pays for."""
    shapes, constants = float_tensors(model), initializers(model.graph)
    readers = consumers(model.graph)
    makers = {name: node.name for node in model.graph.node for name in node.output}
    free = {node.name for node in layers}
    cut = Cut()
    for node in model.graph.node:
        if node.name not in free:
            cut.edge(node.name, Cut.SINK, INFINITE)
            continue
        found = cost(node, shapes, constants)
        cut.edge(Cut.SOURCE, node.name, round(found.float))
        cut.edge(node.name, Cut.SINK, round(FAVOUR * found.int8))
        if node.op_type in _CLIPPING and makers.get(node.input[0]) in free:
            # part of the kernel before it
            cut.edge(node.name, makers[node.input[0]], INFINITE)
            cut.edge(makers[node.input[0]], node.name, INFINITE)
    for tensor in shapes:
        maker = makers.get(tensor)
        names = sorted({reader.name for reader in readers[tensor]})
        _conversion(cut, tensor, maker, names, round(CONVERSION * size(tensor, shapes)))
    in_float = cut.sink_side()
    return [node for node in layers if node.name not in in_float]


def _conversion(cut: Cut, tensor: str, maker: str | None, readers: list[str], price: int) -> None:
    """Have the tensor pay for DQ where its maker alone is int8, and for Q where a reader is."""
    source = maker if maker is not None else Cut.SINK
    to_float, to_int8 = ("to float", tensor), ("to int8", tensor)
    if maker is not None:
        cut.edge(source, to_float, price)
    cut.edge(to_int8, source, price)
    for reader in readers:
        cut.edge(to_float, reader, INFINITE)
        cut.edge(reader, to_int8, INFINITE)
