"""A weight in integers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class RoundedWeight:
    """A weight on the target's grid.

    `integers` has the weight's shape and values within the target's weight range; `scale`
    float32 has one entry, or one per output channel (axis 0). The zero point is 0.
    """

    integers: NDArray[np.int8]
    scale: NDArray[np.float32]
