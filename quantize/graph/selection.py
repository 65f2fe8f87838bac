"""Which layers stay in float, and which tensors have to be measured."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from onnx import ModelProto, NodeProto, TensorProto

from export.common.errors import UsageError
from export.onnx_graph.graph import consumers, float_tensors, initializers
from quantize.graph.clips import CLIPPING
from quantize.graph.fused_float import gelu_parts
from quantize.target import Target
from quantize.targets import MOVES

_WEIGHTED = ("Conv", "Gemm", "MatMul")
_ELEMENTWISE = ("Add", "Mul", "Sigmoid", "LeakyRelu", "Relu", "Clip")


def matching_layers(model: ModelProto, globs: Sequence[str]) -> set[str]:
    """Return the names of layers that match one of `globs`; UsageError for one without match.

    A layer is also known by the constants it reads: torch calls a weight by its module
    (`classifier.4.weight`), where an exporter's names of layers are numbers.
    """
    constants = initializers(model.graph)
    known = {
        node.name: [node.name, *(name for name in node.input if name in constants)]
        for node in model.graph.node
    }
    matched: set[str] = set()
    for glob in globs:
        matches = {
            name for name, names in known.items() if any(fnmatchcase(n, glob) for n in names)
        }
        if not matches:
            weighted = next((names for names in known.values() if len(names) > 1), [*known])
            raise UsageError(
                f"--keep-float {glob}: no layer has such a name, nor a weight, e.g. "
                + " or ".join(weighted[:2])
            )
        matched |= matches
    return matched


def output_layers(model: ModelProto) -> set[str]:
    """Return the names of the layers that give the graph's outputs."""
    outputs = {value.name for value in model.graph.output}
    return {node.name for node in model.graph.node if outputs & set(node.output)}


def range_sources(
    model: ModelProto, nodes: Sequence[NodeProto], *, joined: bool = False
) -> dict[str, str]:
    """Map each float activation around `nodes` to the tensor whose range it takes: itself.

    Except where one of the nodes is the only reader and a Relu or Clip: then only the clipped
    tensor matters, unless the largest were chosen before: they stay on the grid of what they were
    chosen of. The int8 quantizer merges the two, and a float16 overflow before the
    clipping gives the same result as the true value would. With `joined`, what a Concat alone
    reads has the range of its result, to which it would be rounded next: then all parts have
    one scale and joining is copying. A tensor that was only moved has the range of what was.
    """
    floats = float_tensors(model)
    readers = consumers(model.graph)
    names = {node.name for node in nodes}
    outputs = {value.name for value in model.graph.output}
    cuttable = {tensor for node in nodes for tensor in node.output if node.op_type != "MaxPool"}
    moved = {node.output[0]: node.input[0] for node in nodes if node.op_type in MOVES}

    def reader(tensor: str) -> NodeProto | None:
        """The one node that reads a tensor, which may have been moved before."""
        only = readers[tensor][0] if len(readers[tensor]) == 1 else None
        if only is None or tensor in outputs or only.name not in names:
            return None
        return reader(only.output[0]) if only.op_type in MOVES else only

    def source(tensor: str) -> str:
        if tensor in moved:
            return source(moved[tensor])
        only = reader(tensor)
        if only is None:
            return tensor
        clipped = only.op_type in CLIPPING and tensor in cuttable
        return (
            source(only.output[0]) if clipped or (joined and only.op_type == "Concat") else tensor
        )

    touched = {t for node in nodes for t in [*node.input, *node.output] if t in floats}
    return {tensor: source(tensor) for tensor in sorted(touched)}


def worthwhile(model: ModelProto, nodes: Sequence[NodeProto], target: Target) -> list[NodeProto]:
    """Return `nodes` without those that int8 does not pay for.

    An Add, Concat, pooling and the like has next to no arithmetic, a depthwise convolution
    little: int8 only saves the way to float and back, if the result is read by a layer in
    int8. Before a float layer (PRelu, BatchNormalization) it would round once more and convert
    twice for nothing; so it would behind float layers alone. A Relu or Clip behind a convolution
    costs nothing. Targets that have no float unit keep all.
    """
    if target.everything:
        return list(nodes)
    readers = consumers(model.graph)
    constants = initializers(model.graph)
    fused = gelu_parts(model)
    paying = {node.output[0] for node in nodes if _pays_alone(node, constants)}
    kept = {node.name for node in nodes if node.name not in fused}
    kept -= {n.name for n in nodes if n.op_type == "MatMul" and n.output[0] not in paying}
    passing = {*CLIPPING, *MOVES, "MaxPool"} - set(target.operators)  # int8 goes through them

    def read_in_int8(node: NodeProto) -> bool:
        # some targets have no int8 Relu or Clip of its own: it goes into the kernel before it
        following = [reader for name in node.output for reader in readers[name]]
        return any(r.name in kept or (r.op_type in CLIPPING and read_in_int8(r)) for r in following)

    before = None
    while before != kept:
        before = set(kept)
        kept -= _behind_float_alone(model, kept, passing)
        for node in reversed(nodes):
            merged = node.op_type in CLIPPING and node.input[0] in paying
            if not (read_in_int8(node) or merged or node.output[0] in paying):
                kept.discard(node.name)
    return [node for node in nodes if node.name in kept]


def _behind_float_alone(model: ModelProto, kept: set[str], passing: set[str]) -> set[str]:
    """Return the elementwise layers of `kept` that read nothing which was made in int8.

    `passing` are operators that are no layers, but hand on int8.
    """
    behind = set()
    made = {value.name for value in model.graph.input}
    for node in model.graph.node:
        reads_int8 = not made.isdisjoint(node.input)
        if node.name not in kept:
            makes = reads_int8 and node.op_type in passing
        elif node.op_type in (*_ELEMENTWISE, *MOVES):
            makes = reads_int8
        else:
            makes = True
        if makes:
            made.update(node.output)
        elif node.name in kept and node.op_type in _ELEMENTWISE:
            behind.add(node.name)
    return behind


def _pays_alone(node: NodeProto, constants: Mapping[str, TensorProto]) -> bool:
    if node.op_type == "Conv" and node.input[1] in constants:
        inputs_per_group = constants[node.input[1]].dims[1]
        return inputs_per_group > 1
    if node.op_type == "MatMul":
        return any(name in constants for name in node.input)
    return node.op_type in _WEIGHTED
