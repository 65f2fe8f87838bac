"""The grid of an integer tensor, as LiteRT has it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantize.graph.qdq_graph import Linear

_SHIFT = {"int8": 0, "uint8": 128, "int32": 0}
"""What is taken off integers and zero points of a type, so that LiteRT's kernels read them."""


@dataclass(frozen=True)
class Grid:
    """real = `scales` * (integer - `zeros`); several of them lie along `axis`."""

    scales: tuple[float, ...]
    zeros: tuple[int, ...]
    axis: int = 0


def readable(linear: Linear) -> bool:
    """Whether LiteRT has integers of a Q's or DQ's type: int8, what can be shifted to it, int32."""
    return linear.zero_point.dtype.name in _SHIFT


def grid_of(linear: Linear, axis: int = 0) -> Grid:
    """Return the grid of a Q or DQ; that of uint8 is shifted to int8."""
    shift = _SHIFT[linear.zero_point.dtype.name]
    zeros = np.broadcast_to(linear.zero_point.astype(np.int64) - shift, linear.scale.shape)
    return Grid(
        tuple(float(scale) for scale in linear.scale), tuple(int(zero) for zero in zeros), axis
    )


def shifted(integers: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return integers as int8 or int32."""
    if integers.dtype != np.uint8:
        return integers
    return (integers.astype(np.int16) - _SHIFT["uint8"]).astype(np.int8)


def dequantized(integers: NDArray[np.generic], linear: Linear, axis: int) -> NDArray[np.float32]:
    """Return the float32 values of a constant behind a DQ whose scales lie along `axis`."""
    shape = [-1 if i == axis else 1 for i in range(integers.ndim)]
    several = linear.scale.size > 1
    scale = linear.scale.reshape(shape) if several else linear.scale.reshape(())
    zero = linear.zero_point.astype(np.float32)
    zero = zero.reshape(shape) if zero.size > 1 else zero.reshape(())
    return np.asarray((integers.astype(np.float32) - zero) * scale, np.float32)
