"""Rewrite: tidy the Casts a float16 conversion leaves behind."""

from onnx import ModelProto, NodeProto, TensorProto


def tidy_casts(model: ModelProto) -> None:
    """Merge equal Casts, drop fp32 -> fp16 -> fp32 round trips and unread Casts, in place.

    The converter puts a Cast before and after every layer left in fp32, also between two of
    them; the round trip would overflow exactly where fp32 was meant to protect. It also
    writes one Cast per reader under the same name, which is not a valid graph.
    """
    graph = model.graph
    nodes = _without_duplicates(list(graph.node))
    producer = {name: node for node in nodes for name in node.output}
    renamed: dict[str, str] = {}
    for node in nodes:
        source = producer.get(node.input[0]) if node.input else None
        widens = _casts_to(node, TensorProto.FLOAT)
        if widens and source is not None and _casts_to(source, TensorProto.FLOAT16):
            renamed[node.output[0]] = source.input[0]
    outputs = {value.name for value in graph.output}
    for node in nodes:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
    _rename_outputs(nodes, renamed, outputs)
    del graph.node[:]
    graph.node.extend(_without_unread(nodes, outputs))
    del graph.value_info[:]


def _casts_to(node: NodeProto, kind: int) -> bool:
    return node.op_type == "Cast" and any(a.name == "to" and a.i == kind for a in node.attribute)


def _without_duplicates(nodes: list[NodeProto]) -> list[NodeProto]:
    seen: set[tuple[str, ...]] = set()
    kept = []
    for node in nodes:
        key = tuple(node.output)
        if node.op_type == "Cast" and key in seen:
            continue
        seen.add(key)
        kept.append(node)
    return kept


def _rename_outputs(nodes: list[NodeProto], renamed: dict[str, str], outputs: set[str]) -> None:
    """A graph output must keep its name, so there the fp32 source takes that name."""
    back = {old: new for new, old in renamed.items() if new in outputs}
    if not back:
        return
    nodes[:] = [
        node
        for node in nodes
        if not (node.op_type == "Cast" and node.output[0] in outputs & renamed.keys())
    ]
    for node in nodes:
        for index, name in enumerate(node.input):
            node.input[index] = back.get(name, name)
        for index, name in enumerate(node.output):
            node.output[index] = back.get(name, name)


def _without_unread(nodes: list[NodeProto], outputs: set[str]) -> list[NodeProto]:
    while True:
        read = {name for node in nodes for name in node.input} | outputs
        kept = [n for n in nodes if n.op_type != "Cast" or read & set(n.output)]
        if len(kept) == len(nodes):
            return kept
        nodes = kept
