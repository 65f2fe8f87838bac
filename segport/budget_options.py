"""One command-line option per kind of budget."""

import inspect
from collections.abc import Sequence

import typer

from export.common.errors import UsageError
from segport.grouped_options import grouped
from segport.grouped_options import option as optional
from validate.gating.kinds import KINDS, option

Budgets = dict[str, dict[str, str]]
"""Limits as the user wrote them, by kind of budget and by what they are for."""


def parse_budgets(kind: str, texts: Sequence[str]) -> dict[str, str]:
    """Return limits by what they are for, from "ID=X" texts; raise UsageError for others."""
    limits: dict[str, str] = {}
    for text in texts:
        key, _, limit = text.rpartition("=")
        if not key or not limit:
            word = KINDS[kind].unit.word
            raise UsageError(f"{option(kind)} {text}: give {_key(kind)}={word}")
        if key in limits:
            raise UsageError(f"{option(kind)} {key}: given twice")
        limits[key] = limit
    return limits


def _key(kind: str) -> str:
    return "[ID:]CLASS" if KINDS[kind].per_class else "ID"


def _parameter(kind: str) -> inspect.Parameter:
    described = typer.Option(option(kind), metavar=f"{_key(kind)}=X", help=KINDS[kind].help)
    return optional(kind, list[str], described)


with_budgets = grouped(
    "budgets",
    [_parameter(kind) for kind in KINDS],
    lambda texts: {kind: parse_budgets(kind, given or []) for kind, given in texts.items()},
)
"""Give a command an option for every kind in KINDS; it gets them all in `budgets`."""
