"""A cell of a sweep: the settings of one file, without those that bear on nothing, and a name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quantize.precisions import PRECISIONS
from segport.recipe import ArtifactSection

Chosen = Mapping[str, Any]
"""Keys of [[artifact]] in a recipe, each with a value."""
DEFAULTS: Chosen = {"precision": "int8"}
"""What stands in for keys that a recipe needs and a sweep may leave out."""
MOST = 2_000
"""Cells of a network; a minute each would take more than a day."""
_SETTINGS = {"with": "added", "skip": "skipped"}
"""Keys of an artifact's section that have another name in `Precision.settings`."""
_SEARCH = {"max_drop", "min_agreement", "search_minutes", "data"}
_ANY = {"min_self_agreement", "force"}
_LONGEST = 60
"""Characters of a cell's name, which may take four bytes each of the 255 that a folder's has."""


@dataclass(frozen=True)
class Cell:
    """A file to make: its name among those of a network, the values that tell it from others."""

    name: str
    values: Mapping[str, str]
    section: ArtifactSection
    written: Chosen


def cell(name: str, section: ArtifactSection, chosen: Chosen) -> Cell:
    """Return the cell `name` of what was chosen, which `section` is in a recipe."""
    return Cell(name, {key: word(value) for key, value in chosen.items()}, section, chosen)


def matters(key: str, precision: Any) -> bool:
    """Whether a key bears on files of a precision; of what is unknown the recipe will say so."""
    entry = PRECISIONS.get(precision) if isinstance(precision, str) else None
    if entry is None or key == "precision" or key in _ANY:
        return True
    if key in _SEARCH:
        return bool(precision == "int8")
    others = {name for one in PRECISIONS.values() for name in one.settings}
    name = _SETTINGS.get(key, key)
    return name in entry.settings or name not in others


def folder_name(chosen: Chosen, varying: list[str]) -> str:
    """Return the values of the `varying` keys as a folder's name: neither hidden nor too long."""
    text = "-".join(filter(None, (word(chosen[key]) for key in varying if key in chosen)))
    return re.sub(r"[^\w.+-]+", "_", text).lstrip(".")[:_LONGEST] or "file"


def word(value: Any) -> str:
    """Return a value of a key in one word."""
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)
