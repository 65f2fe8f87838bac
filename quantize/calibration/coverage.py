"""Whether the calibration images show the network what it will see.

Two things tell without any label: the ranges do not get much wider with more images, and the
feature maps that a photo would excite are not silent.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.calibration.statistics import MinMax, Reduction, State, Tensor

GROWING = 0.07
"""Growth from half of the images to all that is worth a line. The real networks of the tests give
0.07 to 0.10 with 2 photos, 0.04 to 0.12 with 4, and 0.03 to 0.07 with 16 or more."""
SILENT = 0.1
"""Share of feature maps without any signal that is worth a line: black images leave 14 and 17 % of
the MobileNets' maps silent, noise 7 and 9 %, two photos less than 2 %."""
_KEPT = 24
"""Extremes kept: the chance that half of the images hold none of so many is 2 ** -24."""


class Coverage:
    """The widest images of a tensor, and which of its channels ever vary.

    Costs nothing beside a range rule: it reads the extremes that those read too.
    """

    key = "coverage"

    def __init__(self) -> None:
        self._lows = np.zeros(0)
        self._highs = np.zeros(0)
        self._channels = (np.zeros(0, np.float32), np.zeros(0, np.float32))
        self.images = 0

    def reduction(self, tensor: Tensor) -> Reduction:
        """Those of `MinMax`."""
        return MinMax().reduction(tensor)

    def update(self, low: NDArray[np.float32], high: NDArray[np.float32]) -> None:
        """Take in one activation's extremes, each (batch, channels)."""
        self._lows = np.sort(np.append(self._lows, min(float(np.min(low)), 0.0)))[:_KEPT]
        self._highs = np.sort(np.append(self._highs, max(float(np.max(high)), 0.0)))[-_KEPT:]
        low, high = (np.atleast_2d(part) for part in (low, high))
        seen_low, seen_high = self._channels
        self._channels = (
            np.minimum(seen_low, low.min(0)) if self.images else low.min(0),
            np.maximum(seen_high, high.max(0)) if self.images else high.max(0),
        )
        self.images += 1

    def state(self) -> State:
        """The kept extremes, those of every channel, and the number of images."""
        return {
            "lows": self._lows,
            "highs": self._highs,
            "channels": np.stack(self._channels),
            "images": np.array(self.images),
        }

    def restore(self, state: State) -> None:
        """See `Statistic`."""
        self._lows, self._highs = state["lows"].copy(), state["highs"].copy()
        low, high = state["channels"]
        self._channels, self.images = (low.copy(), high.copy()), int(state["images"])

    def merge(self, state: State) -> None:
        """See `Statistic`."""
        self._lows = np.sort(np.append(self._lows, state["lows"]))[:_KEPT]
        self._highs = np.sort(np.append(self._highs, state["highs"]))[-_KEPT:]
        low, high = state["channels"]
        self._channels = (np.minimum(self._channels[0], low), np.maximum(self._channels[1], high))
        self.images += int(state["images"])

    @property
    def growth(self) -> float:
        """How much wider the range of all images is than that of half of them, relative, 0 or more.

        Half of them: the expectation over all halves, so that no order matters. The range holds 0.
        """
        half = (self.images + 1) // 2
        narrow = _expected(self._highs[::-1], self.images, half) - _expected(
            self._lows, self.images, half
        )
        wide = float(self._highs[-1] - self._lows[0])
        return wide / narrow - 1 if narrow else 0.0

    @property
    def silent(self) -> NDArray[np.bool_]:
        """Which channels have one value everywhere in all images, bool (channels,)."""
        low, high = self._channels
        silent: NDArray[np.bool_] = low == high
        return silent


def _expected(extremes: NDArray[np.float64], images: int, drawn: int) -> float:
    """Return the expected first of `extremes` among `drawn` of the `images` they are of.

    They come in the order of their size, largest magnitude first. The k-th is the first drawn one
    in C(images - 1 - k, drawn - 1) of C(images, drawn) draws: in drawn / images for the first, and
    from one to the next times what is left undrawn of what is left. No float holds the
    numbers of draws themselves, from a thousand images on.
    """
    k = np.arange(1, len(extremes))
    left = (images - drawn - k + 1) / (images - k)
    shares = np.cumprod([drawn / images, *left.clip(0)])
    return float(extremes @ shares)


def facts(seen: Mapping[str, Coverage]) -> dict[str, Any]:
    """Return what a manifest records of the tensors: growth (relative) and silent maps (0-1).

    Growth is the median over the tensors that grow at all.
    """
    if not seen:
        return {}
    silent = np.concatenate([coverage.silent for coverage in seen.values()])
    # what a Clip holds at its limit cannot grow and says nothing of the images
    growth = [coverage.growth for coverage in seen.values() if coverage.growth > 0]
    measured = {
        "growth": float(np.median(growth)) if growth else 0.0,
        "silent_maps": float(silent.mean()),
    }
    return measured | {"warnings": _warnings(**measured)}


def _warnings(growth: float, silent_maps: float) -> list[str]:
    """Say in a line each what the images did not show."""
    warnings = []
    if growth > GROWING:
        warnings.append(
            f"ranges still grow: with all calibration images they are {100 * growth:.0f} % wider "
            "than with half of them; give more --samples"
        )
    if silent_maps > SILENT:
        warnings.append(
            f"{100 * silent_maps:.0f} % of feature maps stay silent on all calibration images: the "
            "network does not use them, or these are not images of the kind it will see"
        )
    return warnings
