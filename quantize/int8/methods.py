"""The optional steps of int8 quantization, by name."""

from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import Any

from export.common.errors import UsageError
from export.common.tables import known
from quantize.rewrites.table import REWRITES
from quantize.rounding.table import ROUNDINGS
from quantize.target import Target

FOLD_CLIP = "fold-clip"
CORRECT_BIAS = "correct-bias"
METHODS: Mapping[str, Any] = ChainMap(
    {CORRECT_BIAS: "empirical bias correction on calibration images; slow"},
    ROUNDINGS,
    {FOLD_CLIP: "leave out a Relu or Clip that the quantized range replaces"},
    REWRITES,
)
"""In the order they are applied, which is that of a ChainMap: the last of its maps comes first."""


def chosen_methods(target: Target, added: Sequence[str], skipped: Sequence[str]) -> tuple[str, ...]:
    """Return the target's own methods with some more and some less, in their order.

    Of the rounding methods one added replaces the target's. Raises UsageError for an unknown
    name, one both added and skipped, and two rounding methods.
    """
    for name in (*added, *skipped):
        known("method", name, METHODS)
    both = sorted(set(added) & set(skipped))
    if both:
        raise UsageError(f"--with {both[0]} and --skip {both[0]}: choose one of them")
    roundings = [name for name in added if name in ROUNDINGS]
    if len(set(roundings)) > 1:
        raise UsageError(f"--with {roundings[0]} and {roundings[1]}: weights are rounded only once")
    own = [name for name in target.methods if not (roundings and name in ROUNDINGS)]
    wanted = {*own, *added} - set(skipped)
    return tuple(name for name in METHODS if name in wanted)


def rounding_method(methods: Sequence[str]) -> str | None:
    """Return the rounding method among `methods`; None rounds to nearest."""
    return next((name for name in methods if name in ROUNDINGS), None)
