"""Choose the step of each row of weights by what the rounded row changes in the layer's output.

The largest weight need not lie on the outermost integer. A row of few inputs, such as a depthwise
channel's nine, lies much nearer to the multiples of one step than to those of the next, so that
many are worth trying. Where one weight towers above the rest (a convolution near the identity) a
much smaller step leaves the others more than two or three integers, and error compensation makes up
for what is cut. What a step is worth is measured on the row's output after the compensation, as
AIMET and others choose weight ranges (Nagel et al. 2021, arXiv:2106.08295, section 3.1).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Scale = NDArray[np.float32]

_SHORT = ((32, 128), (64, 32))
"""Up to so many inputs of a row, so many steps are tried. In longer rows the errors of all weights
add up to much the same with any step."""
_FITTING = (1.25, 0.65)
_CUTTING = (0.84, 0.7, 0.6, 0.5, 0.4, 0.3)
_TOWERING = 16
"""Root mean squares of the row. Below, even the step of 1/127 is an eighth of a usual weight."""
_TOGETHER = 1 << 18
"""Weights that are rounded at once."""


def best_scale(
    values: NDArray[np.float32], scale: Scale, cost: Callable[[NDArray[np.float32], Scale], Floats]
) -> Scale:
    """Return `scale`, (rows,) or (1,), times what makes the rounded rows cost least.

    `cost(values, scale)` is that of each row, (rows,), rounded under a scale of its own. All that
    is tried for a row stands in rows behind one another, so that those of a group stay together.
    Rows of one common scale are judged by their sum.
    """
    factors = step_factors(values)
    if len(factors) == 1:
        return scale
    own = np.broadcast_to(scale, len(values))
    at_once = max(1, _TOGETHER // values.size)
    costs = []
    for start in range(0, len(factors), at_once):
        tried = factors[start : start + at_once]
        scales = np.outer(own, tried).astype(np.float32).ravel()
        costs.append(cost(values.repeat(len(tried), axis=0), scales).reshape(len(values), -1))
    of_row = np.concatenate(costs, axis=1)
    total = of_row if len(scale) > 1 else of_row.sum(0, keepdims=True)
    return np.asarray(scale * factors[total.argmin(1)], np.float32)


def step_factors(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what to try as multiples of the step under which the largest weight just fits."""
    rows = values.astype(np.float64).reshape(len(values), -1)
    towering = np.abs(rows).max(1) > _TOWERING * np.sqrt((rows**2).mean(1))
    count = next((count for inputs, count in _SHORT if rows.shape[1] <= inputs), 0)
    cutting = _CUTTING if towering.any() else ()
    return np.array((1.0, *np.geomspace(*_FITTING, count), *cutting), np.float32)
