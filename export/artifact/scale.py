"""The numbers a network takes its pictures in: mean and std, of values from 0 to 1 or to 255."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from export.common.errors import UsageError, unknown

RANGES = ("0-1", "0-255")


@dataclass(frozen=True)
class Scale:
    """`mean` and `std`, an entry per channel, in units of `range`."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    range: str

    @property
    def in_ones(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and std in 0-1 units."""
        if self.range == "0-1":
            return self.mean, self.std
        return tuple(v / 255 for v in self.mean), tuple(v / 255 for v in self.std)


def find_scale(
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    range_: str | None,
    channels: int,
    dtype: str,
) -> Scale:
    """Return what the user said, or what the input's type says.

    A mean or deviation above 1 is in units of 0-255. Without `range_` both must be given, as
    nothing else tells; with it they are 0 and 1 by default, and bytes are 0-255. Colours are in
    the order of R G B (alpha). Raises UsageError for what is missing or contradicts.
    """
    if range_ is not None and range_ not in RANGES:
        raise UsageError(unknown("range", range_, RANGES))
    if range_ is None and dtype == "uint8":
        range_ = "0-255"
    if range_ is None and (mean is None or std is None):
        missing = "--mean" if mean is None else "--std"
        raise UsageError(
            f"import: {missing} R G B is needed, the file does not say how its input is "
            "normalised; if it is not at all, give --range 0-1 or --range 0-255"
        )
    means = _each("--mean", (0.0,) if mean is None else mean, channels)
    stds = _each("--std", (1.0,) if std is None else std, channels)
    if min(stds) <= 0:
        raise UsageError(f"import: --std {' '.join(map(str, stds))}: values must be positive")
    large = max(map(abs, means)) > 1 or max(stds) > 1
    if large and range_ == "0-1":
        raise UsageError("import: --mean or --std is above 1, which goes with --range 0-255")
    return Scale(means, stds, range_ or ("0-255" if large else "0-1"))


def _each(option: str, values: Sequence[float], channels: int) -> tuple[float, ...]:
    if not all(map(isfinite, values)):
        raise UsageError(f"import: {option} {' '.join(map(str, values))}: not finite")
    if len(values) not in (1, channels):
        raise UsageError(
            f"import: {option} has {len(values)} values, the network takes {channels} channels"
        )
    return tuple(map(float, values)) * (channels if len(values) == 1 else 1)
