"""The table of stores: where results by commit are kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from export.common.errors import UsageError
from export.common.tables import Lazy, known

if TYPE_CHECKING:
    from validate.history.store import HistoryPoint

FILE = "path"


@dataclass(frozen=True)
class Store:
    """`add(where, points)` returns how many were new, `read(where)` all in the order of dates."""

    help: str
    add: "Callable[[str, Sequence[HistoryPoint]], int]"
    read: "Callable[[str], list[HistoryPoint]]"


def _add_to_file(where: str, points: "Sequence[HistoryPoint]") -> int:
    from validate.history.store import add_points

    return add_points(Path(where), points)


def _read_file(where: str) -> "list[HistoryPoint]":
    from validate.history.store import read_points

    return read_points(Path(where))


_MLFLOW = Store(
    "an experiment on an MLflow server; MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD, say who asks",
    Lazy("validate.history.mlflow:add_points"),
    Lazy("validate.history.mlflow:read_points"),
)

STORES: dict[str, Store] = {
    FILE: Store("a file of SQLite", _add_to_file, _read_file),
    "postgresql": Store(
        "a table on a PostgreSQL server; PGPASSWORD holds the password (extra postgres)",
        Lazy("validate.history.postgres:add_points"),
        Lazy("validate.history.postgres:read_points"),
    ),
    "mlflow+http": _MLFLOW,
    "mlflow+https": _MLFLOW,
}
"""By the scheme of a URL."""


def store_of(where: str) -> Store:
    """Return the store that a path or URL means; UsageError for an unknown scheme."""
    scheme, separator, _ = where.partition("://")
    return known("store", scheme, STORES) if separator else STORES[FILE]


def shown(where: str) -> str:
    """Return a path as it is, and a URL without its password and what follows the database."""
    if "://" not in where:
        return where
    try:
        parts = urlsplit(where)
    except ValueError as error:
        raise UsageError(f"store: not a URL ({error})") from error
    user, at, place = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{user.partition(':')[0]}{at}{place}{parts.path}"
