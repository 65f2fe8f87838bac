"""In which orders layers become float, and the growing sets that each order gives."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from onnx import ModelProto

from export.graph import float_tensors, with_input_shape
from export.onnx_cost import graph_cost
from quantize.search.ranker import Block

ELEMENT = 4
"""Work of writing one value, in MACs: what layers without weights cost."""


@dataclass(frozen=True)
class Shares:
    """Each layer's share (0-1) of the network's MACs, and of its MACs and written values."""

    macs: Mapping[str, float]
    work: Mapping[str, float]


def shares(model: ModelProto, shape: tuple[int, ...]) -> Shares:
    """Count the layers of a float32 network for an input of `shape`."""
    shaped = with_input_shape(model, shape)
    macs = {node.name: node.macs for node in graph_cost(shaped).nodes}
    sizes = {name: prod(d or 1 for d in dims) for name, dims in float_tensors(shaped).items()}
    work = {
        node.name: macs.get(node.name, 0) + ELEMENT * sizes.get(node.output[0], 1)
        for node in shaped.graph.node
    }
    return Shares(_normalised(macs), _normalised(work))


def _normalised(counts: Mapping[str, int]) -> dict[str, float]:
    total = sum(counts.values()) or 1
    return {name: count / total for name, count in counts.items()}


def orders(blocks: Sequence[Block], found: Shares, least: float) -> Iterator[list[Block]]:
    """Yield orders in which blocks become float, best first; ties go to the earlier block.

    The first undoes the most damage for the work that leaves int8. The second counts MACs only,
    which are what is asked for at the far end. Both end with what does little damage for its
    size, which may be one large and bad block; the third ends with what does the least damage.
    The others end with one block in int8 that has a share of `least` (0-1) of the MACs by itself,
    least damage first: what was measured alone.
    """
    for size in (found.work, found.macs):
        yield _ordered(blocks, {block: total(size, block.layers) for block in blocks})
    by_damage = _ordered(blocks, dict.fromkeys(blocks, 1.0))
    yield by_damage
    for last in reversed(by_damage):
        if total(found.macs, last.layers) >= least:
            yield [*(block for block in by_damage if block != last), last]


def _ordered(blocks: Sequence[Block], size: Mapping[Block, float]) -> list[Block]:
    return sorted(blocks, key=lambda block: -block.damage / size[block])


def float_sets(order: Sequence[Block], found: Shares, most: float) -> list[frozenset[str]]:
    """Return growing sets of layers to keep in float, the first of them empty.

    Each adds the next block of `order` with which at most a share of `most` (0-1) of all MACs is
    float. At the end come single layers of the blocks that were too large.
    """
    sets = [frozenset[str]()]
    layers = [(layer,) for block in order for layer in block.layers]
    for part in [*(block.layers for block in order), *layers]:
        more = sets[-1].union(part)
        if more != sets[-1] and total(found.macs, more) <= most:
            sets.append(more)
    return sets


def total(counts: Mapping[str, float], layers: Collection[str]) -> float:
    """Return the sum of what `counts` says of `layers`, never quite 0."""
    return sum(counts.get(layer, 0.0) for layer in sorted(layers)) or 1e-12
