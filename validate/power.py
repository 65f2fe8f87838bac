"""How small a change these images can show, and how many images a smaller one needs.

A figure's estimate is close to normal with standard error s. A two-sided 95 % interval excludes
no change when the estimate is more than z(97.5 %) s away from it; with a true change d that
happens with a probability of 80 % when d = (z(97.5 %) + z(80 %)) s, about 2.8 s (Cohen, Statistical
Power Analysis for the Behavioral Sciences, chapter 2). s falls with the square root of the
number of images, as long as they are images of the same kind.
"""

from math import ceil, sqrt
from statistics import NormalDist

POWER = 80.0
"""Percent of cases in which a change of the size named is seen."""
_NORMAL = NormalDist()
Z95 = _NORMAL.inv_cdf(0.975)
_REACH = Z95 + _NORMAL.inv_cdf(POWER / 100)


def standard_error(interval: tuple[float, float] | None) -> float | None:
    """Return the standard error that a 95 % interval stands for; None without one."""
    return None if interval is None else (interval[1] - interval[0]) / (2 * Z95)


def detectable(error: float) -> float:
    """Return the smallest change that a 95 % interval shows with 80 % power, in the unit of
    `error`, the standard error of the estimate."""
    return _REACH * error


def images_needed(change: float, error: float, images: int) -> int:
    """Return how many images show `change` (more than 0) with 80 % power.

    `error` is the standard error on `images` images of the same kind.
    """
    return max(2, ceil(images * (detectable(error) / change) ** 2))


def power(change: float, error: float) -> float:
    """Return in how many percent of cases a true change of this size is seen as one."""
    return 100 * _NORMAL.cdf(change / error - Z95) if error > 0 else 100.0


def of_difference(first: float, second: float) -> float:
    """Return the standard error of the difference of two independent estimates."""
    return sqrt(first**2 + second**2)
