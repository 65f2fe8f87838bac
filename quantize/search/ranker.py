"""Which blocks of neighbouring layers do the most damage, measured on the logits."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

from quantize.search.evaluator import Effect

BLOCKS = 24
"""So many blocks of neighbours are measured first."""
MEASUREMENTS = 56
"""At most: the worst blocks are halved until these are used up. Each builds a network."""
NOISE = 1e-9
"""Weight of the noise-to-signal ratio, so that it only decides where no pixel changes."""

Measure = Callable[[Collection[str]], Effect]
"""Gives the effect of quantizing the layers of these names and no others."""
Report = Callable[[str], None]
Over = Callable[[], bool]


@dataclass(frozen=True)
class Block:
    """Layers next to each other, and what quantizing them and nothing else does.

    None where time was over before it was measured.
    """

    layers: tuple[str, ...]
    alone: Effect | None

    @property
    def name(self) -> str:
        """The first and the last layer."""
        return (
            self.layers[0] if len(self.layers) == 1 else f"{self.layers[0]} ... {self.layers[-1]}"
        )

    @property
    def damage(self) -> float:
        """The square of the disagreement: of errors that are independent the squares add up.

        What is unknown counts as the worst, so that it becomes float first.
        """
        if self.alone is None:
            return inf
        return self.alone.disagreement**2 + NOISE * self.alone.noise


def units(layers: Sequence[str], macs: Mapping[str, float]) -> list[tuple[str, ...]]:
    """Cut layers in graph order into parts that become float together.

    Each begins with a layer that has MACs: a Relu, Add or Concat costs a conversion wherever its
    surroundings are of another type, and goes with what was computed before it.
    """
    parts: list[list[str]] = []
    for layer in layers:
        if not parts or (macs.get(layer) and any(macs.get(one) for one in parts[-1])):
            parts.append([])
        parts[-1].append(layer)
    return [tuple(part) for part in parts]


def rank(
    parts: Sequence[tuple[str, ...]], measure: Measure, report: Report, over: Over
) -> list[Block]:
    """Return blocks of neighbouring `parts` with their effects, in graph order.

    The worst are the smallest: they are halved until MEASUREMENTS are made or time is `over`.
    """
    cuts = [len(parts) * i // BLOCKS for i in range(BLOCKS + 1)] if len(parts) > BLOCKS else None
    waiting = list(pairwise(cuts or range(len(parts) + 1)))
    blocks: dict[tuple[int, int], Block] = {}
    done = 0
    while waiting:
        for start, stop in waiting:
            layers = tuple(layer for part in parts[start:stop] for layer in part)
            effect = None if over() else measure(layers)
            blocks[start, stop] = block = Block(layers, effect)
            done += 1
            if effect:
                report(
                    f"ranking {done}: {block.name} alone in int8 changes "
                    f"{effect.disagreement:.2f} % of pixels"
                )
        mixed = [span for span in blocks if span[1] - span[0] > 1]
        if not mixed or done + 2 > MEASUREMENTS or over():
            break
        start, stop = max(mixed, key=lambda span: (blocks[span].damage, -span[0]))
        del blocks[start, stop]
        waiting = [(start, (start + stop) // 2), ((start + stop) // 2, stop)]
    return [blocks[span] for span in sorted(blocks)]
