"""`segport history`."""

import os
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from export.common.errors import UsageError
from export.common.tables import either
from segport.arguments import AsJson
from segport.output import say
from validate.history.stores import FILE, STORES, shown, store_of

history = typer.Typer(help="Results of many runs by commit, and where one got worse.")
Database = Annotated[
    str,
    typer.Argument(
        metavar="DB",
        help="History: a file, or SCHEME://USER@HOST/NAME with SCHEME "
        f"{either(name for name in STORES if name != FILE)}.",
    ),
]


@history.command()
def add(
    database: Database,
    results: Annotated[list[Path], typer.Argument(metavar="RESULT.json...", help="Results.")],
    commit: Annotated[
        str | None, typer.Option(help="Default: HEAD of the result's repository, else $GITHUB_SHA.")
    ] = None,
    date: Annotated[str | None, typer.Option(help="ISO 8601. Default: the commit's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Add results of a commit; what is there already stays as it is."""
    from validate.history.store import points_of
    from validate.result.result import load_result

    store, points = store_of(database), []
    for file in results:
        loaded = load_result(file)
        sha = commit or _git(file.parent, "rev-parse", "HEAD") or os.environ.get("GITHUB_SHA")
        if not sha:
            raise UsageError(f"{file}: not in a git repository; give --commit SHA")
        points += points_of(loaded, sha, _utc(date or _commit_date(file.parent, sha)))
    added = store.add(database, points)
    done = {"file": shown(database), "added": added}
    say(done if as_json else f"{shown(database)}: {added} figures of artifacts added", as_json)


@history.command()
def show(
    database: Database,
    name: Annotated[str | None, typer.Option(help="Only this network.")] = None,
    artifact: Annotated[str | None, typer.Option(help="Only this artifact.")] = None,
    protocol: Annotated[str | None, typer.Option(help="Only this protocol.")] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder for history.md, .html and .svg.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show figures by network, artifact and commit, and name commits where they broke."""
    from dataclasses import asdict

    from export.common.files import write_texts
    from validate.history.page import HISTORY_FORMATS, break_lines, history_table

    asked = {"name": name, "artifact": artifact, "protocol": protocol}
    points = [
        point
        for point in store_of(database).read(database)
        if all(value in (None, getattr(point, key)) for key, value in asked.items())
    ]
    if not points:
        raise UsageError(f"{shown(database)}: no results of this name, artifact and protocol")
    if out is not None:
        write_texts(out, {name: render(points) for name, render in HISTORY_FORMATS.items()})
    document = {"points": [asdict(point) for point in points], "breaks": break_lines(points)}
    say(document if as_json else history_table(points), as_json)


def _git(folder: Path, *words: str) -> str | None:
    """Return what git answers, None where there is no git, repository or commit."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _commit_date(folder: Path, commit: str) -> str:
    from datetime import UTC, datetime

    # a repository may ask for signatures to be shown, by a program that it names
    plain = ("-s", "--no-show-signature", "--format=%cI", "--end-of-options")
    shown = _git(folder, "show", *plain, commit)
    return shown or datetime.now(UTC).isoformat()


def _utc(text: str) -> str:
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return aware.astimezone(UTC).isoformat()
    except (ValueError, OverflowError) as error:  # in UTC it may be in the year 10000
        raise UsageError(f"--date {text}: give ISO 8601, such as 2026-11-26T12:00:00Z") from error
