"""Which sets of layers in float lose least for the work that stays in int8, as far as is foreseen.

Sets grow one step after the other from all in int8, or shrink from all in float; a step takes a
unit of layers or a few that are neighbours, as what they share is rounded until the last of them is
in float.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from export.onnx_graph.graph import float_tensors, with_input_shape
from export.onnx_graph.onnx_cost import graph_cost
from quantize.search.sensitivity import Sensitivity

ELEMENT = 4
"""Work of writing one value, in MACs: what layers without weights cost."""
_LITTLE = 1e-9
LONGEST = 6
"""Neighbours that change in one step, at most: a residual block and what is around it."""


@dataclass(frozen=True)
class Shares:
    """Each layer's share (0-1) of the network's MACs, and of its MACs and written values."""

    macs: Mapping[str, float]
    work: Mapping[str, float]


@dataclass(frozen=True)
class Foreseen:
    """A set of layers in float, the share (0-1) of the work it takes from int8, and its loss.

    `loss` is proportional to the share of pixels that change.
    """

    kept_float: frozenset[str]
    work: float
    loss: float


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


def foreseen(
    sensitivity: Sensitivity,
    counted: Shares,
    least: float,
    floating: Callable[[Collection[str]], frozenset[str]] = frozenset,
) -> list[Foreseen]:
    """Return sets that no other is foreseen to beat, from nothing in float to the least in int8.

    All leave at least a share of `least` (0-1) of the MACs in int8; nothing in float comes first
    in any case. `floating` gives those of some layers that would really be in float.
    """
    macs = np.array(
        [sum(counted.macs.get(name, 0.0) for name in part) for part in sensitivity.units]
    )
    work = np.array(
        [sum(counted.work.get(name, 0.0) for name in part) for part in sensitivity.units]
    )
    possible: list[Foreseen] = []
    for grows in (True, False):
        for chosen in _path(sensitivity, work, grows=grows):
            if macs @ ~chosen >= least or not chosen.any():
                units = np.flatnonzero(chosen)
                kept = floating([name for index in units for name in sensitivity.units[index]])
                cost = sum(counted.work.get(name, 0.0) for name in sorted(kept))
                possible.append(Foreseen(kept, cost, sensitivity.loss(chosen)))
    possible.sort(key=lambda one: (one.work, one.loss))
    front: list[Foreseen] = []
    for one in possible:
        if not front or one.loss < front[-1].loss:
            front.append(one)
    return front


def _path(
    sensitivity: Sensitivity, work: NDArray[np.float64], *, grows: bool
) -> Iterator[NDArray[np.bool_]]:
    """Yield which units are in float, each a step from the one before it, until there is no other.

    From nothing in float a step takes away the most squared loss for the work it costs int8, from
    everything in float it adds the least for what int8 gains: the squares are what adds up.
    """
    count = len(sensitivity.units)
    held = np.array([[unit in holder for unit in range(count)] for holder in sensitivity.holders])
    steps = _steps(sensitivity)
    floating = np.full(count, not grows)
    energy = sensitivity.loss(floating) ** 2
    yield floating
    while (floating != grows).any():
        changed = steps & (floating != grows)
        changed = changed[changed.any(axis=1)]
        there = (~(floating ^ changed) @ held.T.astype(np.float32) > 0).astype(np.float64)
        energies = there @ sensitivity.squares
        best = int(np.argmax((energy - energies) / np.maximum(changed @ work, _LITTLE)))
        floating, energy = floating ^ changed[best], float(energies[best])
        yield floating


def _steps(sensitivity: Sensitivity) -> NDArray[np.bool_]:
    """Return runs of neighbours, and what must be in float for an error to go, (steps, units)."""
    count = len(sensitivity.units)
    runs = {
        frozenset(range(first, last))
        for first in range(count)
        for last in range(first + 1, min(count, first + LONGEST) + 1)
    }
    every = sorted(runs.union(sensitivity.holders), key=sorted)
    return np.array([[unit in step for unit in range(count)] for step in every])
