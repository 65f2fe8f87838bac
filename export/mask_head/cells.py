"""Interpolate only where the class changes.

Bilinear interpolation weighs the four samples around a pixel with shares that are not negative
and sum to 1. If one class is the largest at all four, it is so everywhere between them: the
pixels of such a cell get its class without being interpolated. In a photograph nine of ten cells
are of that kind. The others are gathered, interpolated by one small matrix product each, and
their classes scattered over the mask. The result is that of Resize and ArgMax, but for ties.
"""

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from export.mask_head.axis import Axis, cut
from export.mask_head.nodes import Nodes
from export.mask_head.tail import Tail


def cells_pay(tail: Tail, at_least: float) -> bool:
    """Whether it pays: one image, and cells of so many pixels along each axis."""
    ratios = [pixels / samples for pixels, samples in zip(tail.size, tail.shape[2:], strict=True)]
    return tail.shape[0] == 1 and min(ratios) >= at_least


def cells(tail: Tail) -> Nodes:
    """For one image, (1, classes, h, w) to (1, H, W)."""
    made = Nodes()
    (_, classes, h, w), (height, width) = tail.shape, tail.size
    rows, columns = cut(h, height, tail.mode), cut(w, width, tail.mode)
    logits = made.add("Transpose", tail.logits, perm=[0, 2, 3, 1])
    corner, mixed = _mixed(made, logits, rows, columns)
    plain = made.add("Gather", corner, made.constant(columns.cell), axis=2)  # the shorter first
    plain = made.add("Gather", plain, made.constant(rows.cell), axis=1)

    indices = made.add("NonZero", mixed)  # (3, cells that are left)
    y = made.add("Gather", indices, made.constant(np.int64(1)), axis=0)
    x = made.add("Gather", indices, made.constant(np.int64(2)), axis=0)
    at = _outer(made, y, x, np.stack([rows.low, rows.high], 1) * w, _sides(columns))
    flat = made.add("Reshape", logits, made.constant([-1, classes]))
    corners = made.add("Gather", flat, at)
    corners = made.add("Reshape", corners, made.constant([-1, 4, classes]))
    down, across = (
        made.add("Gather", table, cell)
        for table, cell in zip(_shares(made, rows, columns), (y, x), strict=True)
    )
    values = made.add("MatMul", made.add("Mul", down, across), corners)
    best = made.add("ArgMax", values, axis=2, keepdims=0)
    best = made.add("Cast", best, to=tail.to)

    pixel = _outer(made, y, x, rows.pixels * width, columns.pixels)
    end = made.constant([-1])
    mask = made.add(
        "ScatterElements",
        made.add("Reshape", made.add("Cast", plain, to=tail.to), end),
        made.add("Reshape", pixel, end),
        made.add("Reshape", best, end),
        axis=0,
    )
    made.add("Reshape", mask, made.constant([-1, height, width]), output=tail.mask)
    return made


def _mixed(made: Nodes, logits: str, rows: Axis, columns: Axis) -> tuple[str, str]:
    """Class at the first corner of each cell, uint8, and where the other corners differ."""
    best = made.add("ArgMax", logits, axis=3, keepdims=0)
    best = made.add("Cast", best, to=TensorProto.INT32)
    left, right = made.constant(columns.low), made.constant(columns.high)
    corners = [
        made.add("Gather", made.add("Gather", best, made.constant(side), axis=1), column, axis=2)
        for side in (rows.low, rows.high)
        for column in (left, right)
    ]
    first, *others = corners
    alike = [made.add("Equal", first, other) for other in others]
    same = made.add("And", made.add("And", alike[0], alike[1]), alike[2])
    return made.add("Cast", first, to=TensorProto.UINT8), made.add("Not", same)


def _sides(axis: Axis) -> NDArray[np.int64]:
    return np.stack([axis.low, axis.high], 1)


def _outer(made: Nodes, y: str, x: str, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> str:
    """Sum of what tables (cells, n) and (cells, m) say of each cell: (found, n, m)."""
    down = made.add("Gather", made.constant(rows[:, :, None]), y)
    across = made.add("Gather", made.constant(columns[:, None, :]), x)
    return made.add("Add", down, across)


def _shares(made: Nodes, rows: Axis, columns: Axis) -> list[str]:
    """Shares of the four corners in all pixels of a cell, (cells, pixels, 4), by row and column.

    Multiplying arrays of one shape is ten times as fast as broadcasting them. The file holds
    what is needed to write them out; runtimes fold that when they load it.
    """
    n, m = rows.pixels.shape[1], columns.pixels.shape[1]
    factors = rows.weights[:, :, None, :, None], columns.weights[:, None, :, None, :]
    tables = []
    for factor in factors:
        full = made.constant([len(factor), n, m, 2, 2])
        table = made.add("Expand", made.constant(factor), full)
        tables.append(made.add("Reshape", table, made.constant([len(factor), n * m, 4])))
    return tables
