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
    as_json: AsJson = False,
) -> None:
    """Show where an artifact's time goes on this CPU: by operator, by layer, against the peak."""
    from segport.progress import stages

    with stages() as progress:
        progress.stage("open")
        from export.artifact.artifact import load_artifact
        from validate.profiling.profile import profile as measure
        from validate.profiling.profile_table import profile_lines

        measured = measure(
            load_artifact(artifact), threads=threads, rounds=rounds, progress=progress
        )
    say(asdict(measured) if as_json else profile_lines(measured, layers), as_json)
