"""What all commands print the same way."""

import json
import os
import shlex
import sys
from typing import TYPE_CHECKING, Any

import typer

from export.common.errors import SegportError
from export.common.escaping import terminal_lines, visible

if TYPE_CHECKING:
    from export.artifact.artifact import Artifact


def say(document: Any, as_json: bool) -> None:
    """Print text, or one JSON document (paths as text), on standard output.

    Names of strangers in the text are harmless then, wherever a line has them from.

    Raises SegportError when it cannot be written; a reader who has gone is typer's to deal with.
    """
    _print(json.dumps(document, indent=1, default=str) if as_json else terminal_lines(document))


def say_to_ci(command: str) -> None:
    """Print a workflow command, whose texts are escaped already. Raises as `say` does."""
    _print(command)


def _print(text: str) -> None:
    try:
        typer.echo(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        # what is left in the buffer Python would try again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SegportError(f"standard output: cannot write to it ({error.strerror})") from error


def say_artifact(artifact: "Artifact", as_json: bool, default_target: bool = False) -> None:
    """Print where an artifact was written and what its checks found.

    With `default_target` it is explained why the machine got this target.
    """
    from segport.artifact_lines import artifact_lines

    if as_json:
        manifest = artifact.manifest.model_dump(mode="json")
        say({"file": str(artifact.path), "manifest": manifest}, as_json)
    else:
        say(artifact_lines(artifact, default_target), as_json)


def command_line() -> str:
    """Return the command as the user typed it, for the result that it makes."""
    return visible(shlex.join(["segport", *sys.argv[1:]]))
