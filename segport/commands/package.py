"""`segport package`."""

from pathlib import Path
from typing import Annotated

import typer

from segport.arguments import AsJson
from segport.output import say
from segport.packaging.layouts import DEFAULT_LAYOUT, LAYOUTS
from segport.table_option import table_option


def package(
    artifacts: Annotated[
        list[Path],
        typer.Argument(help="Artifacts of one network; onnxruntime takes the first that fits."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder or FILE.zip to write.")],
    samples: Annotated[
        Path | None,
        typer.Option(help="An image or a folder: three go along. Default: the demo's scenes."),
    ] = None,
    result: Annotated[
        Path | None,
        typer.Option(help="A result.json of these files. Default: one that lies beside them."),
    ] = None,
    layout: Annotated[str, table_option(help="{names}.", table=LAYOUTS)] = DEFAULT_LAYOUT,
    licence: Annotated[
        str | None, typer.Option(help="Licence of the weights, as you state it.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Where the weights are from, as you state it.")
    ] = None,
    sign: Annotated[
        Path | None, typer.Option(help="Private elliptic key (PEM) that signs the package.")
    ] = None,
    certificates: Annotated[
        Path | None,
        typer.Option(help="Certificates (PEM) of the key that signs: its own, then its issuers'."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a package that is there.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put artifacts, how to run them, and how to verify them into one folder or zip file."""
    from segport.api.packaging import package as make

    made = make(
        artifacts,
        out,
        samples=samples,
        result=result,
        layout=layout,
        licence=licence,
        source=source,
        sign=sign,
        certificates=certificates,
        force=force,
    )
    say({"package": str(made)} if as_json else f"wrote {made}", as_json)
