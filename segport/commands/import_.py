"""`segport import`."""

from pathlib import Path
from typing import Annotated

import typer

from export.artifact.outputs import OUTPUT_KINDS
from export.artifact.scale import RANGES
from export.foreign.conventions import CHANNELS, LAYOUTS
from segport import defaults
from segport.arguments import (
    AsJson,
    Classes,
    Name,
    Numbers,
    Output,
    SizeText,
    Threshold,
    check_numbers,
    parse_numbers,
    parse_size,
)
from segport.output import say_artifact
from segport.table_option import table_option


def import_(
    file: Annotated[Path, typer.Argument(help="A third-party float .onnx.")],
    out: Output,
    mean: Annotated[
        Numbers,
        typer.Option(callback=check_numbers, help="Mean of R G B, or one for all channels."),
    ] = None,
    std: Annotated[
        Numbers,
        typer.Option(callback=check_numbers, help="Deviation of R G B, or one for all channels."),
    ] = None,
    range_: Annotated[
        str | None,
        table_option(
            "--range",
            help="Values that --mean and --std are for, {names}; alone: as they are.",
            table=RANGES,
        ),
    ] = None,
    size: SizeText = None,
    layout: Annotated[
        str | None,
        table_option(help="Input layout: {names}. Default: from its shape.", table=LAYOUTS),
    ] = None,
    channels: Annotated[
        str | None,
        table_option(help="{names}. Default: rgb, or grey for one channel.", table=CHANNELS),
    ] = None,
    output_name: Annotated[
        str | None, typer.Option(help="The output to keep, if several qualify.")
    ] = None,
    kind: Annotated[
        str | None,
        table_option(
            help="{names} (0, and any other value where the class is).", table=OUTPUT_KINDS
        ),
    ] = None,
    threshold: Threshold = defaults.THRESHOLD,
    classes: Classes = None,
    name: Name = None,
    as_json: AsJson = False,
) -> None:
    """Give a third-party float ONNX network the manifest every other command needs.

    'segport inspect FILE' says what it sees in a file and which options it would take.
    """
    from segport.api.artifacts import import_ as make

    artifact = make(
        file,
        out,
        mean=parse_numbers(mean),
        std=parse_numbers(std),
        range_=range_,
        size="dynamic" if size == ("dynamic", "dynamic") else parse_size(size, None),
        layout=layout,
        channels=channels,
        output_name=output_name,
        kind=kind,
        threshold=threshold,
        classes=classes or "voc",
        name=name,
    )
    say_artifact(artifact, as_json)
