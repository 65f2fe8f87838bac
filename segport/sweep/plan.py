"""A sweep, described in TOML: networks, and a grid or a space of settings for files of each.

name = "fleet"
[data]             # as in a recipe
[validate]         # as in a recipe, with one protocol
[network.v3]       # as [model] of a recipe
[grid]             # keys of [[artifact]] in a recipe, each with a list of values
precision = ["int8"]
target = ["cpu", "npu"]
range = ["mse", "minmax"]

In place of [grid] there may be a [space], see `segport.sweep.space`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.common.errors import UsageError, unknown
from export.common.escaping import visible
from export.common.names import is_file_name
from segport.recipe import ArtifactSection, Recipe
from segport.recipe_file import read_toml, recipe_of
from segport.sweep.cells import Cell, Chosen, cell
from segport.sweep.choosing import Chooser, Listed, Note, Sampler
from segport.sweep.grid import grid_names, grid_settings
from segport.sweep.space import Space, space_of

_TABLES = {"name", "data", "validate", "network", "grid", "space"}


@dataclass(frozen=True)
class Network:
    """What all cells of a network have in common, and the cells of a grid, or their space.

    `section` is what a recipe makes of a cell's settings.
    """

    name: str
    recipe: Recipe
    cells: tuple[Cell, ...]
    space: Space | None
    section: Callable[[Chosen], ArtifactSection]

    @property
    def listed(self) -> dict[str, dict[str, str]]:
        """The values of every cell by its name; of a space, of which no cell is known, one row."""
        return {cell.name: dict(cell.values) for cell in self.cells} or {"*": {}}

    def chooser(self, note: Note) -> Chooser:
        """Return what says which cells to make. Raises what `Sampler` raises."""
        if self.space is None:
            return Listed(self.cells)
        return Sampler(self.space, self.section, note)


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
    try:
        settings, space = _wanted(content)
        models = _table(content, "network", "[network]")
    except UsageError as error:
        raise UsageError(f"sweep {file}: {error}") from error
    networks = tuple(
        _network(name, model, settings, space, content, file) for name, model in models.items()
    )
    protocols = networks[0].recipe.validation.protocols
    if len(protocols) != 1:
        raise UsageError(f"sweep {file}: [validate] protocols: give one, by which all are compared")
    return Sweep(str(content.get("name", file.stem)), networks)


def _wanted(content: Mapping[str, Any]) -> tuple[Sequence[Chosen], Space | None]:
    """Return the settings of a grid, or examples of a space and the space."""
    if "grid" in content and "space" in content:
        raise UsageError("[grid] and [space]: give one of them")
    if "space" not in content:
        return grid_settings(_table(content, "grid", "[grid] or [space]")), None
    space = space_of(_table(content, "space", "[space]"))
    return space.examples(), space


def _table(content: Mapping[str, Any], key: str, shown: str) -> dict[str, Any]:
    table = content.get(key)
    if not isinstance(table, dict) or not table:
        raise UsageError(f"needs a table {shown} that is not empty")
    return table


def _network(
    name: str,
    model: Mapping[str, Any],
    settings: Sequence[Chosen],
    space: Space | None,
    content: Mapping[str, Any],
    file: Path,
) -> Network:
    """Return a network with its cells, or without: then `settings` are checked and no more."""
    if not is_file_name(name):
        raise UsageError(
            f"sweep {file}: [network] '{visible(name)}' cannot be the name of a folder: take "
            "letters, digits, '_' and '-'"
        )
    parts = {key: content[key] for key in ("data", "validate") if key in content}

    def recipe_with(settings: Sequence[Chosen]) -> Recipe:
        described = {"name": name, "model": model, "artifact": settings, **parts}
        return recipe_of(described, file)

    recipe = recipe_with(settings)
    cells = tuple(map(cell, grid_names(settings), recipe.artifact, settings))
    return Network(
        name,
        recipe,
        () if space else cells,
        space,
        lambda chosen: recipe_with([chosen]).artifact[0],
    )
