"""Patterns of a surface: (u, v) on an object to a mixing weight between two colours.

Each function takes `u` and `v`, float64 of one shape, 1.0 being the object's height, and a
seeded generator; it returns weights 0-1 of the same shape.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float64]
Texture = Callable[[Field, Field, np.random.Generator], Field]


def lattice(u: Field, v: Field, rng: np.random.Generator, cells: float) -> Field:
    """Value noise: random values on a grid of `cells` per unit, bilinear in between."""
    size = 32
    grid = rng.random((size, size))
    x, y = u * cells, v * cells
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = x - column, y - row
    left, right, top, bottom = column % size, (column + 1) % size, row % size, (row + 1) % size
    upper = grid[top, left] * (1 - fx) + grid[top, right] * fx
    lower = grid[bottom, left] * (1 - fx) + grid[bottom, right] * fx
    mixed: Field = upper * (1 - fy) + lower * fy
    return mixed


def _wave(x: Field, period: float) -> Field:
    half: Field = 0.5 + 0.5 * np.sin(2 * np.pi / period * x)
    return half


def _relative(x: Field) -> Field:
    if not x.size:
        return x
    scaled: Field = (x - x.min()) / max(float(np.ptp(x)), 1e-6)
    return scaled


def _plain(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return 0.15 * lattice(u, v, rng, 6)


def _gradient(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return _relative(v)


def _stripes(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return (_wave(u + 0.04 * lattice(u, v, rng, 4), 0.11) > 0.55).astype(np.float64)


def _bands(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return (_wave(v, 0.16) > 0.6).astype(np.float64)


def _checks(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return ((np.floor(u / 0.07) + np.floor(v / 0.07)) % 2).astype(np.float64)


def _dots(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return (_wave(u, 0.1) * _wave(v, 0.1) > 0.6).astype(np.float64)


def _patches(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return (lattice(u, v, rng, 5) > 0.52).astype(np.float64)


def _wool(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return 0.5 * lattice(u, v, rng, 14) + 0.5 * lattice(v, u, rng, 30)


def _fur(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return lattice(u * 4, v, rng, 9)


def _tabby(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return _wave(v + 0.25 * lattice(u, v, rng, 5), 0.13)


def _feathers(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return _wave(v + 0.05 * np.sin(u * 60), 0.08)


def _leaves(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return 0.5 * lattice(u, v, rng, 9) + 0.5 * _wave(u - v, 0.06)


def _planks(u: Field, v: Field, rng: np.random.Generator) -> Field:
    grain = lattice(u, v * 8, rng, 3)
    return np.where((v % 0.14) < 0.015, 1.0, 0.5 * grain)


def _bricks(u: Field, v: Field, rng: np.random.Generator) -> Field:
    shift = 0.1 * (np.floor(v / 0.08) % 2)
    joint = ((v % 0.08) < 0.012) | (((u + shift) % 0.2) < 0.015)
    return np.where(joint, 1.0, 0.35 * lattice(u, v, rng, 12))


def _panes(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return (((u % 0.16) < 0.025) | ((v % 0.3) < 0.02)).astype(np.float64)


def _portholes(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return ((u % 0.06) < 0.028).astype(np.float64)


def _spokes(u: Field, v: Field, rng: np.random.Generator) -> Field:
    if not u.size:
        return u
    x, y = u - (u.min() + u.max()) / 2, v - (v.min() + v.max()) / 2
    distance = np.hypot(x, y) / max(float(np.hypot(x, y).max()), 1e-6)
    spoke = np.abs(np.sin(7 * np.arctan2(y, x))) < 0.35
    return np.where((distance > 0.78) | (distance < 0.15) | spoke, 1.0, 0.0)


def _scanlines(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return 0.6 * lattice(u, v, rng, 3) + 0.4 * _wave(v, 0.05)


def _glass(u: Field, v: Field, rng: np.random.Generator) -> Field:
    shine: Field = np.exp(-(((_relative(u) - 0.3) / 0.08) ** 2))
    return shine


def _weave(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return 0.5 * _wave(u + v, 0.04) + 0.5 * _wave(u - v, 0.04)


TEXTURES: dict[str, Texture] = {
    "plain": _plain,
    "gradient": _gradient,
    "stripes": _stripes,
    "bands": _bands,
    "checks": _checks,
    "dots": _dots,
    "patches": _patches,
    "wool": _wool,
    "fur": _fur,
    "tabby": _tabby,
    "feathers": _feathers,
    "leaves": _leaves,
    "planks": _planks,
    "bricks": _bricks,
    "panes": _panes,
    "portholes": _portholes,
    "spokes": _spokes,
    "scanlines": _scanlines,
    "glass": _glass,
    "weave": _weave,
}
