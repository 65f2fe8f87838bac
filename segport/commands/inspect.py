"""`segport inspect`."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from segport.arguments import AsJson
from segport.output import say


def inspect(
    file: Annotated[Path, typer.Argument(help="Any .onnx file.")],
    as_json: AsJson = False,
) -> None:
    """Say what is in an ONNX file, and how it would be imported: the command to type.

    The file is run on generated images. What it does not say is assumed, and said.
    """
    from segport.progress import stages

    with stages() as progress:
        progress.stage(f"inspect {file.name}")
        from export.foreign.preview import preview

        previewed = preview(file)
    command = _command(file, previewed.options)
    if as_json:
        document = {
            "file": str(file),
            "facts": previewed.facts,
            "assumed": previewed.assumed,
            "command": command,
        }
        say(document, as_json)
        return
    width = max(map(len, previewed.facts))
    lines = [f"{name:<{width}}  {text}" for name, text in previewed.facts.items()]
    lines += ["", "assumed:", *(f"  {text}" for text in previewed.assumed), "", command]
    say("\n".join(lines), as_json)


def _command(file: Path, options: list[str]) -> str:
    """Return what to type; numbers of one option are words of their own."""
    words = [word for option in options for word in _words(option)]
    return shlex.join(["segport", "import", str(file), *words, "-o", "artifacts"])


def _words(option: str) -> list[str]:
    return option.split() if option[:1].isdigit() else [option]
