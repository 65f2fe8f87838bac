"""A sweep, described in TOML: networks, and a grid of settings for the files made of each.

name = "fleet"
[data]             # as in a recipe
[validate]         # as in a recipe, with one protocol
[network.v3]       # as [model] of a recipe
[grid]             # keys of [[artifact]] in a recipe, each with a list of values
precision = ["int8"]
target = ["cpu", "npu"]
range = ["mse", "minmax"]
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from export.common.errors import UsageError, unknown
from export.common.escaping import visible
from export.common.names import is_file_name
from quantize.precisions import PRECISIONS
from segport.recipe import ArtifactSection, Recipe
from segport.recipe_file import read_toml, recipe_of

_TABLES = {"name", "data", "validate", "network", "grid"}
_SETTINGS = {"with": "added", "skip": "skipped"}
"""Keys of an artifact's section that have another name in `Precision.settings`."""
_SEARCH = {"max_drop", "min_agreement", "search_minutes", "data"}
_ANY = {"min_self_agreement", "force"}
MOST = 2_000
"""Combinations of a grid; a minute each would take more than a day."""
_LONGEST = 60
"""Characters of a cell's name, which may take four bytes each of the 255 that a folder's has."""


@dataclass(frozen=True)
class Cell:
    """A file to make: its name among those of a network, the values that tell it from others."""

    name: str
    values: Mapping[str, str]
    section: ArtifactSection
    written: Mapping[str, Any]


@dataclass(frozen=True)
class Network:
    """What all cells of a network have in common, and the cells."""

    name: str
    recipe: Recipe
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Sweep:
    """All of it, as `load_sweep` reads it."""

    name: str
    networks: tuple[Network, ...]


def load_sweep(file: Path) -> Sweep:
    """Read a sweep. Raises UsageError naming the place for what is wrong, as `load_recipe`."""
    content = read_toml(file)
    for key in content:
        if key not in _TABLES:
            raise UsageError(f"sweep {file}: {unknown('key', key, _TABLES)}")
    grid, models = _table(content, "grid", file), _table(content, "network", file)
    settings = _settings(grid, file)
    networks = tuple(
        _network(name, model, settings, content, file) for name, model in models.items()
    )
    protocols = networks[0].recipe.validation.protocols
    if len(protocols) != 1:
        raise UsageError(f"sweep {file}: [validate] protocols: give one, by which all are compared")
    return Sweep(str(content.get("name", file.stem)), networks)


def _table(content: Mapping[str, Any], key: str, file: Path) -> dict[str, Any]:
    table = content.get(key)
    if not isinstance(table, dict) or not table:
        raise UsageError(f"sweep {file}: needs a table [{key}] that is not empty")
    return table


def _settings(grid: Mapping[str, Any], file: Path) -> list[dict[str, Any]]:
    """Return every combination once, without what its precision does not look at."""
    for key, values in grid.items():
        if not isinstance(values, list) or not values:
            raise UsageError(f"sweep {file}: [grid] {key}: give a list of values")
    combinations = prod(map(len, grid.values()))
    if combinations > MOST:
        raise UsageError(
            f"sweep {file}: [grid] has {combinations:,} combinations, at most {MOST:,} are made"
        )
    found: list[dict[str, Any]] = []
    for values in product(*grid.values()):
        chosen = {"precision": "int8"} | dict(zip(grid, values, strict=True))
        kept = {key: value for key, value in chosen.items() if _matters(key, chosen["precision"])}
        if kept not in found:
            found.append(kept)
    return found


def _matters(key: str, precision: Any) -> bool:
    """Whether a key bears on files of a precision; of what is unknown the recipe will say so."""
    entry = PRECISIONS.get(precision) if isinstance(precision, str) else None
    if entry is None or key == "precision" or key in _ANY:
        return True
    if key in _SEARCH:
        return bool(precision == "int8")
    others = {name for one in PRECISIONS.values() for name in one.settings}
    name = _SETTINGS.get(key, key)
    return name in entry.settings or name not in others


def _network(
    name: str,
    model: Mapping[str, Any],
    settings: list[dict[str, Any]],
    content: Mapping[str, Any],
    file: Path,
) -> Network:
    if not is_file_name(name):
        raise UsageError(
            f"sweep {file}: [network] '{visible(name)}' cannot be the name of a folder: take "
            "letters, digits, '_' and '-'"
        )
    parts = {key: content[key] for key in ("data", "validate") if key in content}
    recipe = recipe_of({"name": name, "model": model, "artifact": settings, **parts}, file)
    names = _names(settings)
    cells = tuple(
        Cell(cell, {key: _word(value) for key, value in chosen.items()}, section, chosen)
        for cell, section, chosen in zip(names, recipe.artifact, settings, strict=True)
    )
    return Network(name, recipe, cells)


def _names(settings: list[dict[str, Any]]) -> list[str]:
    """Return a name for each that is a folder's, too: the values in which they differ."""
    keys = dict.fromkeys(key for chosen in settings for key in chosen)
    varying = [k for k in keys if len({_word(chosen.get(k, "")) for chosen in settings}) > 1]
    words = [[_word(chosen[key]) for key in varying if key in chosen] for chosen in settings]
    names = [_folder("-".join(filter(None, one))) for one in words]
    return [
        name if names.count(name) == 1 else f"{name}_{number}" for number, name in enumerate(names)
    ]


def _folder(text: str) -> str:
    """Return a name for a folder: neither hidden nor one above, and no longer than it may be."""
    return re.sub(r"[^\w.+-]+", "_", text).lstrip(".")[:_LONGEST] or "file"


def _word(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)
