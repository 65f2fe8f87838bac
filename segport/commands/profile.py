"""`segport profile`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from segport.arguments import AsJson, Threads
from segport.output import say


def profile(
    artifact: Annotated[Path, typer.Argument(help="An artifact.")],
    layers: Annotated[int, typer.Option(min=0, help="Print the N slowest layers.")] = 15,
    threads: Threads = None,
    rounds: Annotated[int, typer.Option(min=1, help="Runs to measure.")] = 20,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for profile.md, profile.json, roofline.svg."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show where an artifact's time goes on this CPU: by operator, by layer, against its limits."""
    from segport.progress import stages

    with stages() as progress:
        progress.stage("open")
        from export.artifact.artifact import load_artifact
        from export.common.files import check_writable
        from validate.profiling.profile import profile as measure
        from validate.profiling.profile_report import write_profile
        from validate.profiling.profile_table import profile_lines

        if out is not None:
            check_writable(out)
        measured = measure(
            load_artifact(artifact), threads=threads, rounds=rounds, progress=progress
        )
        files = [] if out is None else write_profile(measured, out)
    if as_json:
        say({"files": [str(file) for file in files], **asdict(measured)}, as_json)
        return
    written = "".join(f"\n\nwrote {file}" for file in files)
    say(f"{profile_lines(measured, layers)}{written}", as_json)
