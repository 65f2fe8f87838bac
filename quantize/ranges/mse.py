"""The range whose integers stand nearest to a tensor's values."""

import numpy as np

from quantize.calibration.histogram import Histogram, running_sum
from quantize.ranges.grid import Floats, Grid

_OCTAVES = 5
_SEARCHES = ((_OCTAVES * 4, 1 / 4), (8, 1 / 28), (7, 1 / 196))
"""Half-width in steps, and step in octaves, of successive searches for the best shrinkage."""


def mse_range(seen: Histogram, grid: Grid) -> tuple[float, float]:
    """Shrink the two ends to where values, rounded to `grid`, have the least square error.

    Both ends are tried at 1 to 1/32 of the extremes, in all combinations, coarsely and then
    finely around the best.
    """
    ends = np.array([min(seen.extremes.low, 0.0), max(seen.extremes.high, 0.0)])
    if not ends.any():
        return 0.0, 0.0
    if grid.symmetric:
        ends[:] = -seen.extremes.magnitude, seen.extremes.magnitude
    best = np.zeros(2)
    for half, step in _SEARCHES:
        near = best[:, None] + np.arange(-half, half + 1) * step
        tried = _shrinkages(np.clip(near, 0, _OCTAVES), ends, grid)
        best = tried[np.argmin(_square_errors(seen, grid, *(ends * 2.0**-tried).T))]
    low, high = ends * 2.0**-best
    return seen.extremes.within(float(low), float(high))


def _shrinkages(octaves: Floats, ends: Floats, grid: Grid) -> Floats:
    """Return the pairs of octaves to try; an end at 0 stays, symmetric ones move together."""
    if grid.symmetric:
        return octaves.T
    low, high = (
        np.unique(tried) if end else [0.0] for tried, end in zip(octaves, ends, strict=True)
    )
    return np.stack(np.meshgrid(low, high), -1).reshape(-1, 2)


def _square_errors(seen: Histogram, grid: Grid, low: Floats, high: Floats) -> Floats:
    """Mean square error of rounding to `grid` over each (low, high), values even within a bin.

    Let F(b) be the integral of (b - x) over the values x below b. Summed by parts, the error
    is that of rounding all to the largest grid value v, mean (x - v)**2, less 2 * scale *
    F(b) for every boundary b between two neighbours on the grid. F is quadratic in each bin.
    """
    width, edges = seen.width, seen.edges
    density = seen.counts / (seen.counts.sum() * width)
    below = running_sum(density) * width
    area = running_sum(below[:-1] + density * width / 2) * width
    centres = edges[:-1] + width / 2
    share = density * width
    scale, zero = grid.scale_and_zero(low, high)
    top = (grid.levels - zero) * scale
    mean, square = share @ centres, share @ centres**2 + width**2 / 12
    bounds = (np.arange(1, grid.levels + 1) - 0.5 - zero[:, None]) * scale[:, None]
    inside = np.clip(bounds, edges[0], edges[-1])
    bins = np.minimum(((inside - edges[0]) / width).astype(np.intp), seen.BINS - 1)
    past = inside - edges[bins]
    areas = area[bins] + past * (below[bins] + past * density[bins] / 2)
    areas += np.maximum(bounds - edges[-1], 0)
    errors: Floats = square - 2 * mean * top + top**2 - 2 * scale * areas.sum(1)
    return errors
