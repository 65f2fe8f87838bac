"""Rounding with error compensation (GPTQ, Frantar et al. 2023, arXiv:2210.17323).

Weights are rounded one input at a time; the error each rounding makes in the layer's output is
compensated by the weights that are still free. Written as Babai's nearest plane algorithm,
which gives the same integers (Chen et al. 2025, arXiv:2507.18553) from one Cholesky
factorisation: with C = R Rᵀ, R upper triangular, the output error of weights w - e is |Rᵀ e|²,
and its i-th component is least when input i is rounded towards w_i + Σ_{j<i} e_j R_ji / R_ii.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_DAMPING = 0.01
_BLOCK = 64


def gptq(weight: Floats, scale: Floats, covariance: Floats, largest: int) -> Floats:
    """Return integers of `weight` (groups, rows, inputs) in -largest .. largest, as float64.

    `scale` (groups, rows) is the step of each row, `covariance` (groups, inputs, inputs) that
    of the inputs. Minimises the variance of the error of the outputs; their mean is up to the
    bias.
    """

    def nearest(values: Floats) -> Floats:
        return np.clip(np.rint(values), -largest, largest)

    return compensated(weight / scale[:, :, None], covariance, nearest)


def compensated(weight: Floats, covariance: Floats, nearest: Callable[[Floats], Floats]) -> Floats:
    """Round to any grid: `nearest` returns the grid's values for an array; see `gptq`."""
    order = np.argsort(-np.diagonal(covariance, axis1=1, axis2=2), axis=1, kind="stable")
    group = np.arange(len(order))[:, None]
    root = _upper_roots(covariance[group[:, :, None], order[:, :, None], order[:, None, :]])
    # inputs before rows: what one input needs of all rows lies together
    share = np.swapaxes(root, 1, 2) / np.diagonal(root, axis1=1, axis2=2)[:, :, None]
    targets = np.swapaxes(weight, 1, 2)[group, order]
    rounded = np.empty_like(targets)
    errors = np.empty_like(targets)
    for start in range(0, targets.shape[1], _BLOCK):
        stop = min(start + _BLOCK, targets.shape[1])
        carried = targets[:, start:stop] + share[:, start:stop, :start] @ errors[:, :start]
        for i in range(start, stop):
            inside = (share[:, i : i + 1, start:i] @ errors[:, start:i])[:, 0]
            rounded[:, i] = nearest(carried[:, i - start] + inside)
            errors[:, i] = targets[:, i] - rounded[:, i]
    restored = np.empty_like(rounded)
    restored[group, order] = rounded
    return np.swapaxes(restored, 1, 2)


def _upper_roots(covariance: Floats) -> Floats:
    """R upper triangular with R Rᵀ = covariance, damped so that it exists."""
    mean = np.diagonal(covariance, axis1=1, axis2=2).mean(1)
    damping = np.where(mean > 0, _DAMPING * mean, 1.0)
    identity = np.eye(covariance.shape[1])
    while True:
        damped = covariance + damping[:, None, None] * identity
        try:
            root = np.linalg.cholesky(damped[:, ::-1, ::-1])[:, ::-1, ::-1]
        except np.linalg.LinAlgError:  # a covariance is only nearly one, in float32
            damping *= 10
        else:
            return np.asarray(root, np.float64)
