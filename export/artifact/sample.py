"""Preprocessed images, and what is known of where they came from."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Sample(NamedTuple):
    """One preprocessed image: `image` is float32 (1, 3, H, W), normalised as the network wants.

    `sha256` is that of the image file, so that a copy under another name is still recognised.
    """

    id: str
    image: NDArray[np.float32]
    sha256: str


class Origin(NamedTuple):
    """How images were prepared, and the seed they were drawn by; None: nobody knows."""

    protocol: str | None = None
    seed: int | None = None


def origin_of(samples: Sequence[Sample]) -> Origin:
    """Return what samples say of themselves; a plain list says nothing."""
    return getattr(samples, "origin", Origin())
