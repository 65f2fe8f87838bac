"""The range that keeps most of a tensor's distribution."""

import numpy as np
from numpy.typing import NDArray

from quantize.calibration.histogram import Histogram, running_sum
from quantize.ranges.grid import Floats, Grid

_STRIDE = 8
"""Bins between thresholds that `entropy` tries: at most 0.4 % of the largest magnitude."""
_EMPTY = 1e-9
"""Share of the values taken to lie where none was seen: bounds what clipping into it costs."""


def entropy_range(seen: Histogram, grid: Grid) -> tuple[float, float]:
    """Clip at the magnitude that keeps most of the distribution, by KL divergence.

    TensorRT's calibration (S. Migacz, "8-bit inference with TensorRT", GTC 2017): the clipped
    histogram, values outside added to its end bins, is compared with the same histogram,
    unclipped values only, after averaging over each of the grid's integers. As in NVIDIA's
    pytorch-quantization the bin of zeros, which any grid holds exactly, counts as much as its
    neighbour. A window reaches no farther than the values on a grid that is not symmetric.
    """
    half, groups = seen.BINS // 2, grid.levels + 1
    counts = seen.counts.astype(np.float64)
    counts[half] = min(counts[half], max(counts[half - 1], counts[half + 1]))
    filled = np.append(np.flatnonzero(counts), half)
    first, last = filled.min(), filled.max() + 1
    farthest = max(last - half, half - first)
    reach = np.append(np.arange(_STRIDE, farthest, _STRIDE), farthest)
    start, end = half - reach, half + reach
    if not grid.symmetric:
        start, end = np.maximum(start, min(first, half)), np.minimum(end, max(last, half))
    start, end = (bound[end - start >= groups] for bound in (start, end))
    if not start.size:  # what was counted lies closer together than any grid resolves
        return seen.extremes.low, seen.extremes.high
    best = int(np.argmin(_divergences(counts, start, end, groups)))
    edges = seen.edges
    return seen.extremes.within(float(edges[start[best]]), float(edges[end[best]]))


def _divergences(
    counts: Floats, start: NDArray[np.intp], end: NDArray[np.intp], groups: int
) -> Floats:
    """KL divergence for each window of bins [start, end) and `groups` integers.

    With p the clipped distribution and q the averaged one,
    sum p log(p / q) = sum p log p - sum over groups of (p of the group) log(q of one bin),
    and all of it follows from running sums over the bins.
    """
    below, filled = running_sum(counts), running_sum(counts > 0)
    left, right = below[start], below[-1] - below[end]
    edges = start[:, None] + (end - start)[:, None] * np.arange(groups + 1) // groups
    inside = np.diff(below[edges])
    bins = np.diff(filled[edges])
    mass = inside.copy()
    entropy = np.diff(running_sum(_xlogx(counts))[np.stack([start, end])], axis=0)[0]
    # the end bins of p hold what was clipped
    for column, bin_, outside in ((0, start, left), (-1, end - 1, right)):
        bins[:, column] += (counts[bin_] == 0) & (outside > 0)
        mass[:, column] += outside
        entropy += _xlogx(counts[bin_] + outside) - _xlogx(counts[bin_])
    share = inside / np.maximum(inside.sum(1, keepdims=True), 1)
    cross = (mass * np.log(np.maximum(share, _EMPTY) / np.maximum(bins, 1))).sum(1)
    divergences: Floats = (entropy - cross) / below[-1] - np.log(below[-1])
    return divergences


def _xlogx(values: Floats) -> Floats:
    logs: Floats = np.log(np.where(values > 0, values, 1.0))
    return values * logs
