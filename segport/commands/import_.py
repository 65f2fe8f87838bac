"""`segport import`."""

from pathlib import Path
from typing import Annotated

import typer

from export.errors import UsageError
from segport.arguments import AsJson, Output, SizeText, parse_size
from segport.output import say_artifact


def import_(
    file: Annotated[Path, typer.Argument(help="A third-party fp32 .onnx.")],
    out: Output,
    mean: Annotated[
        tuple[float, float, float] | None, typer.Option(help="Mean of R G B, 0-1 units.")
    ] = None,
    std: Annotated[
        tuple[float, float, float] | None, typer.Option(help="Deviation of R G B, 0-1 units.")
    ] = None,
    size: SizeText = None,
    classes: Annotated[str, typer.Option(help="'voc' or a file with a name per line.")] = "voc",
    name: Annotated[str | None, typer.Option(help="Name of the artifacts.")] = None,
    as_json: AsJson = False,
) -> None:
    """Give a third-party fp32 ONNX network the manifest every other command needs."""
    from segport.progress import stages

    with stages() as progress:
        progress.stage(f"import {file.name}")
        from export.onnx_import import import_model

        fixed = parse_size(size, None)
        if size is not None and fixed is None:
            raise UsageError("import: --size is two numbers, height and width")
        artifact = import_model(
            file, out, mean=mean, std=std, size=fixed, classes=classes, name=name
        )
    say_artifact(artifact, as_json)
