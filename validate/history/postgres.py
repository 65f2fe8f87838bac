"""Results by commit in a table of a PostgreSQL server, which many machines write to.

A result is added in one transaction, so that it is there whole or not. The server's certificate is
checked with `?sslmode=verify-full`; without, the connection is plain, and SCRAM keeps the password
to itself.
"""

import os
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from getpass import getuser
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from export.common.errors import (
    DataError,
    RuntimeUnavailableError,
    SegportError,
    UsageError,
    first_line,
)
from validate.history.store import COLUMNS, NUMBERS, HistoryPoint, points_from
from validate.history.stores import shown

_TABLE = "segport_history"
_LOCK = 0x5E690047
"""Of PostgreSQL's advisory locks, ours: two that make the table at once would collide."""
_WAIT = 60
"""Seconds that a connection or statement may take."""
_TLS = {"disable": None, "verify-full": ssl.create_default_context}


def add_points(where: str, points: Sequence[HistoryPoint]) -> int:
    """Add points in one transaction and return how many were new; the table is made if absent.

    The same result of the same commit is kept once. Raises DataError for a server that cannot be
    reached or refuses, RuntimeUnavailableError without pg8000.
    """
    kinds = {name: "double precision" if name in NUMBERS else "text NOT NULL" for name in COLUMNS}
    columns = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
    marks = ", ".join(f":{name}" for name in COLUMNS)
    added = 0
    with _opened(where) as database:
        database.run("BEGIN")
        database.run(f"SELECT pg_advisory_xact_lock({_LOCK})")
        database.run(
            f"CREATE TABLE IF NOT EXISTS {_TABLE} "
            f"(id bigserial, {columns}, UNIQUE (commit_sha, digest, artifact))"
        )
        for point in points:
            database.run(
                f"INSERT INTO {_TABLE} ({', '.join(COLUMNS)}) VALUES ({marks}) "
                "ON CONFLICT DO NOTHING",
                **asdict(point),
            )
            added += database.row_count
        database.run("COMMIT")
    return added


def read_points(where: str) -> list[HistoryPoint]:
    """Return all points in the order of their commits' dates; raise as above."""
    with _opened(where) as database:
        ((there,),) = database.run(f"SELECT to_regclass('{_TABLE}') IS NOT NULL")
        if not there:
            raise DataError(f"{shown(where)}: no history; 'segport history add' makes it")
        rows = database.run(
            f'SELECT {", ".join(COLUMNS)} FROM {_TABLE} ORDER BY date COLLATE "C", id'
        )
    return points_from(shown(where), rows)


@contextmanager
def _opened(where: str) -> Iterator[Any]:
    try:
        import pg8000.native as pg8000
    except ImportError as error:
        raise RuntimeUnavailableError(
            "a postgresql:// history needs pg8000: pip install 'segport[postgres]'"
        ) from error
    try:
        database = pg8000.Connection(timeout=_WAIT, application_name="segport", **_facts(where))
        try:
            yield database
        finally:
            database.close()
    except SegportError:
        raise
    except (pg8000.Error, OSError, ValueError) as error:
        raise DataError(f"{shown(where)}: cannot use this history ({_reason(error)})") from error


def _facts(where: str) -> dict[str, Any]:
    """Return what a URL says of the connection."""
    parts = urlsplit(where)
    asked = parse_qs(parts.query)
    tls = asked.pop("sslmode", ["disable"])[-1]
    if asked or tls not in _TLS:
        raise UsageError(f"{shown(where)}: behind '?' only sslmode={' or sslmode='.join(_TLS)}")
    try:
        port = parts.port or 5432
    except ValueError as error:
        raise UsageError(f"{shown(where)}: {error}") from error
    context = _TLS[tls]
    user = unquote(parts.username or "") or getuser()
    return {
        "user": user,
        "host": parts.hostname or "localhost",
        "port": port,
        "database": unquote(parts.path.strip("/")) or user,
        "password": unquote(parts.password or "") or os.environ.get("PGPASSWORD"),
        "ssl_context": context and context(),
    }


def _reason(error: Exception) -> str:
    """Return what the server says, in one line: its message is the field M of a report."""
    said = error.args[0] if error.args else None
    return str(said["M"]) if isinstance(said, dict) and "M" in said else first_line(error)
