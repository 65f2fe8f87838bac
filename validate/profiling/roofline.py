"""What a kernel would take at the machine's limits: the roofline.

Source: Williams, Waterman, Patterson, "Roofline: an insightful visual performance model for
multicore architectures", CACM 52(4), 2009.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from validate.profiling.bandwidth import bandwidth_at

MACS, BYTES = "MACs", "bytes"


@dataclass(frozen=True)
class Limits:
    """A machine's: `peaks` in GMAC/s by kind of kernel, `bandwidths` in GB/s by bytes moved."""

    peaks: Mapping[str, float]
    bandwidths: Mapping[int, float]


@dataclass(frozen=True)
class Roof:
    """The least time, ms, and what sets it: `MACS` or `BYTES`."""

    ms: float
    by: str


def roof_of(macs: int, peak: float | None, amount: int, bandwidths: Mapping[int, float]) -> Roof:
    """Return the roof of a kernel that computes `macs` and moves `amount` bytes.

    `peak` is in GMAC/s, None for a kind without one; `bandwidths` are GB/s by bytes. Each tensor
    is counted as moved once.
    """
    computing = macs / peak / 1e6 if peak else 0.0
    moving = amount / bandwidth_at(bandwidths, amount) / 1e6
    return Roof(max(computing, moving), MACS if computing > moving else BYTES)
