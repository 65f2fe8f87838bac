"""Rewrite: tidy the Casts a float16 conversion leaves behind."""

from onnx import ModelProto, NodeProto, TensorProto, helper

from export.onnx_graph.graph import captured, rename_reads, subgraphs


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
        rename_reads(node, renamed)
    _rename_outputs(nodes, renamed, outputs)
    del graph.node[:]
    graph.node.extend(_without_unread(nodes, outputs))
    del graph.value_info[:]


def branching_layers(model: ModelProto) -> set[str]:
    """Return the names of the nodes with branches or a loop body, which stay in float32."""
    return {node.name for node in model.graph.node if subgraphs(node)}


def widen_captures(model: ModelProto, floats: set[str]) -> None:
    """Let branches and loop bodies read float32, through Casts of what became float16, in place.

    `floats` are the tensors that were float32 before the conversion, which knows of no captures.
    """
    graph = model.graph
    halves = {t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT16}
    halves |= floats & {name for node in graph.node for name in node.output}
    halves |= {v.name for v in graph.input if v.type.tensor_type.elem_type == TensorProto.FLOAT16}
    reads = {name for node in graph.node for name in captured(node)}
    wide = {name: f"{name}_captured" for name in sorted(reads & halves)}
    for node in graph.node:
        if captured(node):
            _rename_captures(node, wide)
    graph.node.extend(
        helper.make_node("Cast", [name], [new], name=f"{new}_cast", to=TensorProto.FLOAT)
        for name, new in wide.items()
    )


def _rename_captures(node: NodeProto, names: dict[str, str]) -> None:
    inputs = list(node.input)
    rename_reads(node, names)
    node.input[:] = inputs


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
        rename_reads(node, back)
        for index, name in enumerate(node.output):
            node.output[index] = back.get(name, name)


def _without_unread(nodes: list[NodeProto], outputs: set[str]) -> list[NodeProto]:
    while True:
        read = {name for node in nodes for name in [*node.input, *captured(node)]} | outputs
        kept = [n for n in nodes if n.op_type != "Cast" or read & set(n.output)]
        if len(kept) == len(nodes):
            return kept
        nodes = kept
