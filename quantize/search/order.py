"""In which order layers become float: most damage undone for the least int8 work lost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from onnx import ModelProto

from export.graph import float_tensors, with_input_shape
from export.onnx_cost import graph_cost
from quantize.search.ranker import Ranked

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
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()}


def float_sets(ranked: Sequence[Ranked], found: Shares, most: float) -> list[frozenset[str]]:
    """Return growing sets of layers to keep in float, the first of them empty.

    At most a share of `most` (0-1) of all MACs may become float. Each step adds the layers of
    the unit that undoes the most damage for the work that leaves int8. Damage is undone once
    all layers around a unit are float, so that a step can undo more than its own. Ties go to
    the unit that comes first in `ranked`.
    """
    kept: frozenset[str] = frozenset()
    sets = [kept]
    left = list(ranked)
    while True:
        left = [unit for unit in left if not unit.layers <= kept]
        affordable = [u for u in left if _sum(found.macs, kept | u.layers) <= most]
        if not affordable:
            return sets
        best = max(affordable, key=lambda unit: _worth(unit, kept, left, found.work))
        kept = kept | best.layers
        sets.append(kept)


def _sum(counts: Mapping[str, float], layers: frozenset[str]) -> float:
    return sum(counts.get(layer, 0.0) for layer in sorted(layers))


def _worth(
    unit: Ranked, kept: frozenset[str], left: Sequence[Ranked], work: Mapping[str, float]
) -> float:
    after = kept | unit.layers
    undone = sum(other.damage for other in left if other.layers <= after)
    return undone / _sum(work, after - kept)
