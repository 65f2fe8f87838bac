"""Tables from names to parts: what users choose from, and what each choice does.

The command line, completion, recipes and the documentation read names and help of them, for which
nobody waits for torch or onnxruntime: so an entry names its functions by `Lazy`, and modules that
hold tables import nothing heavy.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, TypeVar

from export.common.errors import UsageError, unknown

T = TypeVar("T")
Table = Mapping[str, Any]
"""By name: entries with a `help` of one line, or that line itself, or what speaks for itself."""


@dataclass(frozen=True)
class Lazy:
    """The function `where`, "package.module:name", which is imported when it is called."""

    where: str

    def load(self) -> Any:
        """Import it. Raises ImportError or AttributeError where there is no such function."""
        module, _, name = self.where.partition(":")
        return getattr(import_module(module), name)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.load()(*arguments, **named)


def import_now(function: Callable[..., Any]) -> None:
    """Import what `function` would import when it is called, where time or memory is measured."""
    while isinstance(function, partial):
        function = function.func
    if isinstance(function, Lazy):
        function.load()


def known(kind: str, name: str, table: Mapping[str, T]) -> T:
    """Return an entry; raise UsageError, with the nearest name, when there is none."""
    if name not in table:
        raise UsageError(unknown(kind, name, table))
    return table[name]


def help_of(table: Table, name: str) -> str:
    """Return what an entry is, in one line without an end."""
    entry = table[name]
    return entry if isinstance(entry, str) else str(getattr(entry, "help", ""))


def either(names: Iterable[str]) -> str:
    """Return "a, b or c"."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
