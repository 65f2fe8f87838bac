"""One command-line option per kind of budget."""

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any

import typer

from export.common.errors import UsageError
from validate.gating.kinds import KINDS, option

Budgets = dict[str, dict[str, str]]
"""Limits as the user wrote them, by kind of budget and by what they are for."""


def with_budgets(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for every kind in KINDS; it gets them all in `budgets`."""

    @wraps(command)
    def wrapper(**given: Any) -> None:
        texts = {kind: given.pop(kind) or [] for kind in KINDS}
        command(**given, budgets={kind: parse_budgets(kind, t) for kind, t in texts.items()})

    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.name != "budgets"]
    parameters = [*own, *map(_parameter, KINDS)]
    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


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
    annotation = Annotated[list[str] | None, described]
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(kind, keyword, default=None, annotation=annotation)
