"""`segport verify`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from segport.arguments import AsJson
from segport.output import say


def verify(
    package: Annotated[Path, typer.Argument(help="A package: its folder or zip file.")],
    key: Annotated[
        Path | None,
        typer.Option(help="Public key or root certificates (PEM) that the signature must be by."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a package's files, compute its masks anew, and say which variant to take here.

    Exit code 0: as promised, or all but a few pixels; 1: something else; 2: damaged.
    """
    from segport.api.packaging import verify as check

    found = check(package, key=key)
    if as_json:
        document = {
            "verdict": found.verdict,
            "signature": found.signature,
            "best": found.best and found.best.variant,
            "variants": [asdict(row) | {"verdict": row.verdict} for row in found.rows],
        }
        say(document, as_json)
    else:
        say(repr(found), as_json)
    raise typer.Exit(found.exit_code)
