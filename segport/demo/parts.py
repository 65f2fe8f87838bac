"""What objects are made of: outlines in object units, with a paint each.

Object units: 1.0 is roughly the object's height, x to the right, y down.
"""

import math
from dataclasses import dataclass

import numpy as np

Point = tuple[float, float]
Colour = tuple[float, float, float]
"""RGB, 0-255."""


@dataclass(frozen=True)
class Part:
    """A filled polygon; later parts cover earlier ones.

    `texture` names a pattern that mixes `base` and `accent`; `round` parts get darker towards
    their edge, flat ones do not.
    """

    outline: tuple[Point, ...]
    texture: str
    base: Colour
    accent: Colour
    round: bool = False


def box(left: float, top: float, right: float, bottom: float) -> tuple[Point, ...]:
    """Return a rectangle."""
    return (left, top), (right, top), (right, bottom), (left, bottom)


def oval(x: float, y: float, rx: float, ry: float) -> tuple[Point, ...]:
    """Return an ellipse around (x, y)."""
    angles = [2 * math.pi * step / 36 for step in range(36)]
    return tuple((x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles)


def bar(start: Point, end: Point, width: float) -> tuple[Point, ...]:
    """Return a straight limb of constant width."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    scale = width / 2 / max(math.hypot(dx, dy), 1e-9)
    nx, ny = -dy * scale, dx * scale
    return (
        (start[0] + nx, start[1] + ny),
        (end[0] + nx, end[1] + ny),
        (end[0] - nx, end[1] - ny),
        (start[0] - nx, start[1] - ny),
    )


def pick(rng: np.random.Generator, *colours: Colour, spread: float = 18) -> Colour:
    """Return one of `colours`, each channel moved by up to `spread`."""
    chosen = colours[int(rng.integers(len(colours)))]
    red, green, blue = (float(np.clip(c + rng.uniform(-spread, spread), 0, 255)) for c in chosen)
    return red, green, blue


def darker(colour: Colour, factor: float = 0.6) -> Colour:
    """Return `colour` times `factor`."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def paints(rng: np.random.Generator) -> Colour:
    """Return a saturated lacquer or fabric colour."""
    return pick(
        rng,
        (200, 40, 40),
        (40, 80, 190),
        (40, 150, 70),
        (230, 190, 40),
        (220, 110, 30),
        (120, 50, 140),
        (40, 160, 170),
        spread=25,
    )


RUBBER: Colour = (28, 28, 30)
STEEL: Colour = (150, 155, 160)
WINDOW: Colour = (70, 95, 120)
EYE: Colour = (15, 15, 15)
