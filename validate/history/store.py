"""The file of results by commit: SQLite, which comes with Python and takes many writers.

DuckDB lets one process write at a time and answers the others with an error; SQLite makes them
wait. A result is added in one IMMEDIATE transaction, so that it is in the file whole or not.
"""

import hashlib
import math
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import FiniteFloat, TypeAdapter, ValidationError

from export.common.errors import DataError
from validate.result.facts import Percent
from validate.result.result import Result

_OURS = 0x5E690047
"""SQLite's application_id of our files."""
_WAIT = 60.0
"""Seconds that a writer waits for the others."""


@dataclass(frozen=True)
class HistoryPoint:
    """One artifact at one commit. mIoU, agreement in percent, drop in points, ratios to fp32.

    `date` is the commit's, ISO 8601 in UTC. `digest` is the sha256 of the result.
    """

    commit_sha: str
    date: str
    name: str
    protocol: str
    ids_sha256: str
    artifact: str
    digest: str
    miou: Percent | None
    loss: FiniteFloat | None
    agreement: Percent | None
    size_ratio: FiniteFloat | None
    latency_ratio: FiniteFloat | None


COLUMNS = [field.name for field in fields(HistoryPoint)]
NUMBERS = ("miou", "loss", "agreement", "size_ratio", "latency_ratio")
"""The columns of numbers, which may be unknown."""


def points_of(result: Result, commit: str, date: str) -> list[HistoryPoint]:
    """Return a point for each artifact of a result."""
    digest = hashlib.sha256(result.to_json().encode()).hexdigest()
    base = result.artifact("fp32") or result.artifact(result.reference)
    size = base.size_bytes if base else None
    time = base.latency_ms.median if base and base.latency_ms else None
    return [
        HistoryPoint(
            commit, date, result.name, result.protocol, result.dataset.ids_sha256, a.id, digest,
            a.miou, a.drop, a.agreement,
            _ratio(a.size_bytes, size),
            _ratio(a.latency_ms.median if a.latency_ms else None, time),
        )
        for a in result.artifacts
    ]  # fmt: skip


def _ratio(value: float | None, base: float | None) -> float | None:
    """Return value / base, None where either is unknown or 0, or the ratio is beyond a float."""
    found = value / base if value and base else None
    return found if found is not None and math.isfinite(found) else None


def add_points(file: Path, points: Sequence[HistoryPoint]) -> int:
    """Add points in one transaction and return how many were new; the file is made if absent.

    The same result of the same commit is kept once. Raises DataError for a file that is damaged,
    is something else or cannot be written.
    """
    marks = ", ".join("?" * len(COLUMNS))
    with _opened(file) as database:
        database.execute("BEGIN IMMEDIATE")
        _check_or_make(database, file)
        before = database.total_changes
        database.executemany(f"INSERT OR IGNORE INTO points VALUES ({marks})", map(astuple, points))
        added = database.total_changes - before
        database.execute("COMMIT")
    return added


def read_points(file: Path) -> list[HistoryPoint]:
    """Return all points in the order of their commits' dates; raise DataError as above."""
    if not file.is_file():
        raise DataError(f"{file}: no such file; 'segport history add' makes it")
    with _opened(file) as database:
        if _application(database) != _OURS:
            raise DataError(f"{file}: a database, but not a segport history")
        rows = database.execute(f"SELECT {', '.join(COLUMNS)} FROM points ORDER BY date, rowid")
        found = rows.fetchall()
    return points_from(str(file), found)


def points_from(where: str, rows: Iterable[Sequence[Any]]) -> list[HistoryPoint]:
    """Return rows of COLUMNS as points; raise DataError for values that no point has."""
    records = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    try:
        return TypeAdapter(list[HistoryPoint]).validate_python(records)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise DataError(f"{where}: not a readable history ({field}: {first['msg']})") from error


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(file, timeout=_WAIT, isolation_level=None)) as database:
            yield database
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the message of a damaged file is none
        raise DataError(f"{file}: not a readable history ({error})") from error


def _check_or_make(database: sqlite3.Connection, file: Path) -> None:
    application = _application(database)
    tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application != _OURS and (application or tables):
        raise DataError(f"{file}: a database, but not a segport history")
    if not tables:
        columns = ", ".join(COLUMNS)
        database.execute(f"CREATE TABLE points ({columns}, UNIQUE (commit_sha, digest, artifact))")
        database.execute(f"PRAGMA application_id = {_OURS}")


def _application(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA application_id").fetchone()[0])
