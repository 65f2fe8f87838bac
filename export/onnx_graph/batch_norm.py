"""What a batch normalization with constant statistics computes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_EPSILON = 1e-5


def epsilon_of(attributes: Mapping[str, Any]) -> float:
    """Return what is added to the variance: the node's attribute, or what ONNX says without it."""
    return float(attributes.get("epsilon", _EPSILON))


def factor_and_summand(
    scale: Floats, bias: Floats, mean: Floats, variance: Floats, epsilon: float
) -> tuple[Floats, Floats]:
    """Return a and b of y = a x + b, (channels,) each, from the node's inputs in their order.

    y = (x - mean) / sqrt(variance + epsilon) * scale + bias, as ONNX defines it.
    """
    factor = scale / np.sqrt(variance + epsilon)
    return factor, bias - mean * factor
