"""Where axes lie: LiteRT's images are NHWC. All tensors of four axes are, others stay as they
are."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
TO_NHWC = (0, 2, 3, 1)
TO_NCHW = (0, 3, 1, 2)
_AXIS = (0, 3, 1, 2)
"""Where N, C, H and W lie in NHWC."""


def permuted(shape: Sequence[T], order: Sequence[int]) -> tuple[T, ...]:
    """Return a shape whose axes are taken in an order."""
    return tuple(shape[axis] for axis in order)


def stored(shape: Sequence[T]) -> tuple[T, ...]:
    """Return the shape in the file of an ONNX tensor's."""
    return permuted(shape, TO_NHWC) if len(shape) == 4 else tuple(shape)


def stored_axis(axis: int, rank: int) -> int:
    """Return where an ONNX axis, which may be negative, lies in the file."""
    axis %= rank
    return _AXIS[axis] if rank == 4 else axis


def stored_operand(value: NDArray[np.generic], rank: int) -> NDArray[np.generic]:
    """Lay a constant out that is broadcast against a tensor of `rank` axes."""
    if rank != 4:
        return value
    whole = value.reshape((1,) * (4 - value.ndim) + value.shape).transpose(TO_NHWC)
    kept = next((axis for axis, size in enumerate(whole.shape) if size > 1), 3)
    return whole.reshape(whole.shape[kept:])


def only_reshapes(shape: Sequence[int], order: Sequence[int]) -> bool:
    """Whether a transposition moves nothing in memory: axes of more than one entry keep order."""
    moved = [axis for axis in order if shape[axis] > 1]
    return moved == sorted(moved)
