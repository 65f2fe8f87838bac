"""A sweep's [grid]: every combination of the values of its keys."""

from collections.abc import Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

from export.common.errors import UsageError
from segport.sweep.cells import DEFAULTS, MOST, Chosen, folder_name, matters, word


def grid_settings(table: Mapping[str, Any]) -> list[Chosen]:
    """Return every combination once, without what its precision does not look at.

    Raises UsageError naming the key for what is no list, and for too many.
    """
    for key, values in table.items():
        if not isinstance(values, list) or not values:
            raise UsageError(f"[grid] {key}: give a list of values")
    combinations = prod(map(len, table.values()))
    if combinations > MOST:
        raise UsageError(f"[grid] has {combinations:,} combinations, at most {MOST:,} are made")
    found: list[Chosen] = []
    for values in product(*table.values()):
        chosen = {**DEFAULTS, **dict(zip(table, values, strict=True))}
        kept = {key: value for key, value in chosen.items() if matters(key, chosen["precision"])}
        if kept not in found:
            found.append(kept)
    return found


def grid_names(settings: Sequence[Chosen]) -> list[str]:
    """Return a name for each: the values in which they differ."""
    keys = dict.fromkeys(key for chosen in settings for key in chosen)
    varying = [k for k in keys if len({word(chosen.get(k, "")) for chosen in settings}) > 1]
    names = [folder_name(chosen, varying) for chosen in settings]
    return [
        name if names.count(name) == 1 else f"{name}_{number}" for number, name in enumerate(names)
    ]
