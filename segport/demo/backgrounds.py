"""What stands behind the objects: two textured grounds and clutter of no class."""

import numpy as np
from numpy.typing import NDArray

from segport.demo.drawing import Picture, paint, pose
from segport.demo.parts import Colour, Part, bar, box, oval, pick
from segport.demo.textures import TEXTURES, lattice

_SKIES: tuple[Colour, ...] = ((150, 190, 230), (200, 205, 210), (235, 200, 170), (60, 70, 100))
_GROUNDS: tuple[Colour, ...] = ((95, 130, 65), (140, 125, 100), (110, 110, 112), (60, 100, 125))
_WALLS: tuple[Colour, ...] = ((225, 215, 195), (180, 195, 190), (205, 180, 165), (150, 140, 150))
_FLOORS: tuple[Colour, ...] = ((140, 95, 60), (120, 115, 110), (175, 160, 140), (90, 75, 75))
_WALL_TEXTURES = ("plain", "bricks", "stripes", "dots", "planks")
_GROUND_TEXTURES = ("plain", "wool", "fur", "planks", "stripes")
_CLUTTER_TEXTURES = ("plain", "bricks", "gradient", "dots", "stripes")


def background(height: int, width: int, rng: np.random.Generator) -> Picture:
    """Return a picture without objects: outdoors sky and ground, indoors wall and floor."""
    outdoors = bool(rng.random() < 0.6)
    upper = pick(rng, *(_SKIES if outdoors else _WALLS))
    lower = pick(rng, *(_GROUNDS if outdoors else _FLOORS))
    above = "plain" if outdoors else _WALL_TEXTURES[int(rng.integers(len(_WALL_TEXTURES)))]
    below = _GROUND_TEXTURES[int(rng.integers(len(_GROUND_TEXTURES)))]
    y, x = np.mgrid[0:height, 0:width] / height
    horizon = rng.uniform(0.35, 0.8) + 0.06 * (lattice(x, y * 0, rng, 3) - 0.5) * outdoors
    picture = np.where(
        (y < horizon)[..., None],
        _surface(x, y, upper, above, rng),
        _surface(x, y, lower, below, rng),
    ).astype(np.float32)
    _scatter_clutter(picture, rng)
    return picture


def _surface(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    colour: Colour,
    texture: str,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    contrast, zoom = rng.uniform(0.1, 0.35), rng.uniform(0.4, 1.4)
    pattern = TEXTURES[texture](x * zoom, y * zoom, rng)
    cloud = lattice(x, y, rng, 4) + 0.5 * lattice(x, y, rng, 11)
    shade = 1 - contrast * pattern + 0.25 * (cloud - 0.75) + rng.uniform(-0.3, 0.3) * (y - 0.5)
    surface: NDArray[np.float64] = np.clip(np.asarray(colour) * shade[..., None], 0, 255)
    return surface


def _scatter_clutter(picture: Picture, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    for _ in range(int(rng.integers(2, 8))):
        centre = (rng.uniform(0, width), rng.uniform(0, height))
        parts = [_clutter(rng)]
        paint(picture, parts, pose(parts, centre, rng.uniform(0.1, 0.7) * height, rng), rng)


def _clutter(rng: np.random.Generator) -> Part:
    wide, tall = rng.uniform(0.1, 1.0, 2)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
    blob = tuple((0.5 + wide * float(np.cos(a)), 0.5 + tall * float(np.sin(a))) for a in angles)
    outlines = (box(0, 0, wide, tall), oval(0, 0, wide, tall), bar((0, 0), (wide, tall), 0.1), blob)
    return Part(
        outlines[int(rng.integers(len(outlines)))],
        _CLUTTER_TEXTURES[int(rng.integers(len(_CLUTTER_TEXTURES)))],
        pick(rng, *_GROUNDS, *_WALLS, *_FLOORS, spread=40),
        pick(rng, *_SKIES, *_GROUNDS, *_FLOORS, spread=40),
        round=bool(rng.random() < 0.4),
    )
