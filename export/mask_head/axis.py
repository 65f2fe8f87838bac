"""Where the pixels of one axis lie between the samples they are interpolated from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.onnx_graph.resize import POSITIONS

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Axis:
    """An axis cut into cells: the pixels between two neighbouring samples.

    `low` and `high`, (cells,), are the samples on both sides, the same one beyond the border.
    `cell`, (pixels,), is each pixel's cell. `pixels`, (cells, n), lists the pixels of each cell,
    the last one repeated where a cell has fewer, and `weights`, float32 (cells, n, 2), are
    their shares of `low` and `high`.
    """

    low: Integers
    high: Integers
    cell: Integers
    pixels: Integers
    weights: NDArray[np.float32]


def cut(samples: int, pixels: int, mode: str) -> Axis:
    """Cut an axis of `pixels` > 1 that is interpolated from `samples` > 1, both as in Resize."""
    position = POSITIONS[mode](np.arange(pixels, dtype=np.float64), samples, pixels)
    below = np.floor(position).astype(np.int64)
    below[position == samples - 1] -= 1  # the last sample ends a cell, it does not begin one
    present, cell = np.unique(below, return_inverse=True)
    widest = int(np.bincount(cell).max())
    members = [np.flatnonzero(cell == index) for index in range(len(present))]
    table = np.stack([np.pad(m, (0, widest - len(m)), "edge") for m in members])
    share = position[table] - present[:, None]
    return Axis(
        low=np.clip(present, 0, samples - 1),
        high=np.clip(present + 1, 0, samples - 1),
        cell=cell.astype(np.int64),
        pixels=table.astype(np.int64),
        weights=np.stack([1 - share, share], axis=-1).astype(np.float32),
    )
