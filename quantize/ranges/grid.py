"""The integers that values are rounded to."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """The integers a range is divided into: `levels` steps from the smallest to the largest.

    `symmetric` grids have their zero point in the middle, others round it, and both hold 0.
    """

    symmetric: bool = False
    levels: int = 255

    def scale_and_zero(self, low: Floats, high: Floats) -> tuple[Floats, Floats]:
        """Return step width and zero point, counted from the smallest integer, as onnxruntime.

        Any shape, for low < high; see `compute_scale_zp` in onnxruntime.quantization.quant_utils.
        """
        low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
        if self.symmetric:
            scale = 2 * np.maximum(-low, high) / self.levels
            return scale, np.full_like(scale, (self.levels + 1) // 2)
        scale = (high - low) / self.levels
        return scale, np.round(-low / scale)


U8 = Grid()
