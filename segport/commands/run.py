"""`segport run`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from segport.arguments import AsJson, Download
from segport.output import command_line, say

DEMO = "demo"


def run(
    recipe: Annotated[Path, typer.Argument(help="A recipe (TOML), or 'demo'.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder to write to. Default: runs/<name>.")
    ] = None,
    download: Download = False,
    force: Annotated[
        bool, typer.Option("--force", help="Redo every stage, reuse nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Do the whole job a recipe describes; the exit code is the gate's.

    'demo' is the job on generated scenes and a network that comes with Segport. Stages whose
    inputs are those of an earlier run into the same folder are reused.
    """
    from segport.progress import stages

    with stages() as progress:
        progress.stage("start")
        from export.artifact.artifact import artifact_name
        from export.common.files import alone_in
        from segport.demo.run import run_demo
        from segport.pipeline import run as run_recipe
        from segport.recipe_file import load_recipe
        from segport.tables import run_report
        from validate.gating.verdict import exit_code

        loaded = None if str(recipe) == DEMO else load_recipe(recipe)
        folder = out or Path("runs") / (artifact_name(loaded.name) if loaded else DEMO)
        with alone_in(folder):
            if loaded is None:
                done = run_demo(folder, progress, command=command_line(), force=force)
            else:
                done = run_recipe(
                    loaded, folder, progress, command=command_line(), force=force, download=download
                )
    code = exit_code([verdict for _, verdict in done.verdicts]) if done.verdicts else 0
    if as_json:
        document = {
            "exit_code": code,
            "artifacts": [str(artifact.path) for artifact in done.artifacts],
            "results": [json.loads(result.to_json()) for result, _ in done.results],
            "pictures": done.pictures,
            "package": done.package,
            "contenders": [vars(contender) for contender in done.contenders],
            "verdicts": [{"protocol": p} | vars(verdict) for p, verdict in done.verdicts],
        }
        say(document, as_json)
    else:
        say(run_report(done), as_json)
    raise typer.Exit(code)
