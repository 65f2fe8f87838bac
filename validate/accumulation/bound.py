"""What rounding can do to a sum at most, for layers that are not emulated.

N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM 2002, sections 3.1 and
4.2: with k roundings on the way of each term, the error of a dot product is at most gamma_k times
the sum of its terms' magnitudes, gamma_k = k u / (1 - k u). Underflow is left aside.
"""

from collections.abc import Callable
from math import ceil, log2

UNIT_ROUNDOFF = 2.0**-11
"""Of float16: half the distance from 1 to the next number."""
HALF_MAX = 65504.0

ROUNDINGS: dict[str, Callable[[int], int]] = {
    "sequential": lambda terms: terms,
    "pairwise": lambda terms: 1 + ceil(log2(terms)),
}
"""How often a term is rounded at most: its product, and the sums it is part of."""


def gamma(order: str, terms: int) -> float | None:
    """Return Higham's gamma for a sum of `terms`; None where it bounds nothing: from 2048 on."""
    share = ROUNDINGS[order](terms) * UNIT_ROUNDOFF
    return share / (1 - share) if share < 1 else None


def may_overflow(order: str, terms: int, reach: float) -> bool:
    """Whether a partial sum could pass 65504, if the terms' magnitudes add up to `reach`."""
    bound = gamma(order, terms)
    return bound is None or reach * (1 + bound) > HALF_MAX
