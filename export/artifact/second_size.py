"""The second size at which networks that take any height and width are judged."""

from collections.abc import Sequence

_SHARE = 0.75
_STRIDE = 32
"""What the sides of intermediate maps are divided by in nearly every network."""


def second_size(sides: Sequence[int]) -> tuple[int, ...]:
    """Return about three quarters of each side, in pixels, as far from multiples of 32 as before.

    So a side that an output stride divides stays one, and 513 becomes 385.
    """
    return tuple(
        max(_STRIDE, round(_SHARE * side / _STRIDE) * _STRIDE) + side % _STRIDE for side in sides
    )
