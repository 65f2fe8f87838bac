"""Paint the parts of an object onto a picture, and say which pixels it covers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from segport.demo.parts import Part
from segport.demo.textures import TEXTURES

_SUPERSAMPLING = 2
_MARGIN = 2

Picture = NDArray[np.float32]
"""RGB, 0-255, (height, width, 3)."""


@dataclass(frozen=True)
class Pose:
    """Where an object stands: `matrix` (2, 2) and `shift` (2,) map object units to pixels."""

    matrix: NDArray[np.float64]
    shift: NDArray[np.float64]


def pose(parts: list[Part], centre: tuple[float, float], extent: float,
         rng: np.random.Generator) -> Pose:  # fmt: skip
    """Fit the parts' larger side to `extent` pixels around `centre`.

    Mirrored by chance, turned by up to 10 degrees, sheared and stretched a little.
    """
    points = np.concatenate([np.asarray(part.outline) for part in parts])
    low, high = points.min(axis=0), points.max(axis=0)
    turn, shear = np.radians(rng.uniform(-10, 10)), rng.uniform(-0.12, 0.12)
    flip, stretch = rng.choice([-1.0, 1.0]), rng.uniform(0.85, 1.15)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shape = np.array([[flip * stretch, shear], [0.0, 1.0]])
    matrix = rotation @ shape * (extent / float((high - low).max()))
    return Pose(matrix, np.asarray(centre) - matrix @ ((low + high) / 2))


def paint(
    picture: Picture, parts: list[Part], where: Pose, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw the parts onto `picture` in place; return the pixels covered, bool (height, width).

    Edges are antialiased; a pixel counts as covered from one half on.
    """
    height, width = picture.shape[:2]
    covered = np.zeros((height, width), bool)
    outlines = [np.asarray(part.outline) @ where.matrix.T + where.shift for part in parts]
    everything = np.concatenate(outlines)
    left, top = np.maximum(np.floor(everything.min(axis=0)).astype(int) - _MARGIN, 0)
    right, bottom = np.minimum(
        np.ceil(everything.max(axis=0)).astype(int) + _MARGIN, (width, height)
    )
    if right <= left or bottom <= top:
        return covered
    index = _index_map(outlines, (left, top, right, bottom))
    blocks = index.reshape(bottom - top, _SUPERSAMPLING, right - left, _SUPERSAMPLING)
    topmost = blocks.max(axis=(1, 3))
    alpha = (blocks > 0).mean(axis=(1, 3), dtype=np.float32)
    window = picture[top:bottom, left:right]
    colours = window.copy()
    inverse = np.linalg.inv(where.matrix)
    light = rng.uniform(-0.25, 0.25, 2)
    for number, part in enumerate(parts, start=1):
        rows, columns = np.nonzero(topmost == number)
        pixels = np.stack([columns + left + 0.5, rows + top + 0.5]) - where.shift[:, None]
        u, v = inverse @ pixels
        colours[rows, columns] = _colours(part, u, v, light, rng)
    window[:] = alpha[..., None] * colours + (1 - alpha[..., None]) * window
    covered[top:bottom, left:right] = alpha >= 0.5
    return covered


def _index_map(
    outlines: list[NDArray[np.float64]], frame: tuple[int, int, int, int]
) -> NDArray[np.uint8]:
    left, top, right, bottom = frame
    size = (int(right - left) * _SUPERSAMPLING, int(bottom - top) * _SUPERSAMPLING)
    canvas = Image.new("L", size)
    draw = ImageDraw.Draw(canvas)
    for number, outline in enumerate(outlines, start=1):
        points = (outline - (left, top)) * _SUPERSAMPLING
        draw.polygon([(float(x), float(y)) for x, y in points], fill=number)
    return np.asarray(canvas)


def _colours(
    part: Part,
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    light: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    weight = TEXTURES[part.texture](u, v, rng)[:, None]
    mixed = np.asarray(part.base) * (1 - weight) + np.asarray(part.accent) * weight
    shade = 1 + light[0] * (u - 0.5) + light[1] * (v - 0.5)
    if part.round:
        low, high = np.min(part.outline, axis=0), np.max(part.outline, axis=0)
        x, y = (np.stack([u, v]).T - (low + high) / 2).T / ((high - low) / 2)[:, None]
        shade = shade * (1.12 - 0.4 * np.clip(0.5 * (x**2 + y**2), 0, 1))
    shaded: NDArray[np.float32] = (mixed * shade[:, None]).clip(0, 255).astype(np.float32)
    return shaded
