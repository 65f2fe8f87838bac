"""Dot products of float16 numbers whose sums are float16 too, rounded as IEEE 754 says.

Each product is rounded to float16, then each partial sum, to nearest even, with inf beyond 65504
and subnormal numbers kept. A device with fused multiply-adds rounds the products of a sequential
sum less often: it loses a little less than this.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

TERMS = "the order of the weights: input channel, then row, then column of the kernel"
_TILE = 2**15
"""Results computed at once. torch computes so few in one thread, and caches hold them."""


def sequential(products: Iterator[Tensor]) -> Tensor:
    """Add one after the other to a single sum; past 2048 small ones no longer change it."""
    total = next(products)
    for product in products:
        total.add_(product)
    return total


def pairwise(products: Iterator[Tensor]) -> Tensor:
    """Add neighbours, then the sums of neighbours; what is left over is added from the end."""
    sums: list[tuple[int, Tensor]] = []
    for product in products:
        terms = 1
        while sums and sums[-1][0] == terms:
            product, terms = sums.pop()[1].add_(product), 2 * terms
        sums.append((terms, product))
    total = sums.pop()[1]
    while sums:
        total = sums.pop()[1].add_(total)
    return total


SUMS: dict[str, Callable[[Iterator[Tensor]], Tensor]] = {
    "sequential": sequential,
    "pairwise": pairwise,
}


def dot(rows: Tensor, columns: Tensor, order: str) -> Tensor:
    """Return `rows` (M, K) times `columns` (K, P), float16 as they are, added up in an `order`."""
    add = SUMS[order]
    result = torch.empty(rows.shape[0], columns.shape[1], dtype=torch.float16)
    height = min(rows.shape[0], 256)
    for top in range(0, rows.shape[0], height):
        part = rows[top : top + height].T.unsqueeze(2).contiguous()
        for left in range(0, columns.shape[1], _TILE // height):
            tile = slice(left, left + _TILE // height)
            values = columns[:, None, tile].contiguous()
            pairs = zip(part, values, strict=True)
            result[top : top + height, tile] = add(weight * value for weight, value in pairs)
    return result
