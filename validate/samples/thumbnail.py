"""Small copies of an image, its label and its predictions, small enough for a page."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Classes = NDArray[np.uint8]


@dataclass(frozen=True)
class Thumbnail:
    """One image as it was compared: `image` (h, w, 3) RGB, `label` and `predicted` (h, w).

    `agreement` is the percent of the whole image's pixels that each artifact predicts as the
    reference does. `predicted` has the reference and every artifact.
    """

    id: str
    agreement: Mapping[str, float]
    image: NDArray[np.uint8]
    label: Classes | None
    predicted: Mapping[str, Classes]
