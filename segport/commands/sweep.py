"""`segport sweep`."""

from pathlib import Path
from typing import Annotated

import typer

from export.common.errors import UsageError
from export.workers.engines import Workers
from segport.arguments import AsJson
from segport.engine_options import with_engine
from segport.output import say

NONE_FITS = 1


@with_engine
def sweep(
    *,
    plan: Annotated[Path, typer.Argument(help="A sweep (TOML): networks and settings.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder to write to. Default: runs/<name>.")
    ] = None,
    pick: Annotated[
        str | None,
        typer.Option(
            help="Name the fastest file within limits, such as 'drop<=0.5,size<=0.3'; exit code 1 "
            "where there is none."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Redo every stage, reuse nothing.")
    ] = False,
    as_json: AsJson = False,
    workers: Workers | None,
) -> None:
    """Make and judge many files, and show those that no other beats in loss, time and size.

    What fails is shown and stops nothing else; the same command goes on after an end.
    """
    from segport.progress import stages
    from segport.sweep.pick import parse_pick, picked_lines
    from segport.sweep.pick import pick as choose

    limits = [] if pick is None else parse_pick(pick)
    with stages() as progress:
        progress.stage("start")
        from export.artifact.artifact import artifact_name
        from export.common.files import alone_in
        from segport.sweep.page import sweep_table
        from segport.sweep.plan import load_sweep
        from segport.sweep.sweep import sweep as run

        loaded = load_sweep(plan)
        folder = out or Path("runs") / artifact_name(loaded.name)
        with alone_in(folder):
            result = run(loaded, folder, progress, workers=workers, force=force)
    row = None if pick is None else choose(result.rows, limits)
    if as_json:
        document = result.model_dump(mode="json")
        if pick is not None:
            document["picked"] = row and row.model_dump(mode="json")
        say(document, as_json)
    else:
        lines = [] if pick is None else ["", *picked_lines(row, pick, limits)]
        say("\n".join([sweep_table(result), *lines]), as_json)
    if pick is not None and row is None:
        raise typer.Exit(NONE_FITS)
    if all(one.error for one in result.rows):
        raise UsageError(f"sweep {plan}: no file could be made; the table says why")
