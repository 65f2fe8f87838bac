"""Command-line options that take names of a table: help and completion are the table's."""

from collections.abc import Callable
from typing import Any

import typer

from export.common.tables import Table, either, help_of


def table_option(*flags: str, help: str, table: Table) -> Any:
    """Return an option for names of `table`; `{names}` in its help stands for them."""
    return typer.Option(*flags, help=filled(help, table), autocompletion=completer(table))


def filled(text: str, table: Table) -> str:
    """Put the names of a table where `text` says {names}."""
    return text.format(names=either(map(_shown, table.items())))


def completer(table: Table) -> Callable[[str], list[tuple[str, str]]]:
    """Return what completes the beginning of a name, each with its help for shells that show it."""

    def complete(incomplete: str) -> list[tuple[str, str]]:
        return [(name, help_of(table, name)) for name in table if name.startswith(incomplete)]

    return complete


def _shown(entry: tuple[str, Any]) -> str:
    name, content = entry
    parameter = getattr(content, "parameter", "")
    return f"{name}[:{parameter}]" if parameter else name
