"""What all commands print alike."""

import json
import shlex
import sys
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from export.artifact import Artifact


def say(document: Any, as_json: bool) -> None:
    """Print text, or one JSON document (paths as text), on standard output."""
    typer.echo(json.dumps(document, indent=1, default=str) if as_json else document)


def say_artifact(artifact: "Artifact", as_json: bool, default_target: bool = False) -> None:
    """Print where an artifact was written and what its checks found.

    With `default_target` it is explained why the machine got this target.
    """
    from segport.tables import artifact_lines

    if as_json:
        manifest = artifact.manifest.model_dump(mode="json")
        say({"file": str(artifact.path), "manifest": manifest}, as_json)
    else:
        say(artifact_lines(artifact, default_target), as_json)


def command_line() -> str:
    """Return the command as the user typed it, for the result that it makes."""
    return shlex.join(["segport", *sys.argv[1:]])
