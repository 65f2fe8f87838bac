"""`segport export`."""

from typing import Annotated

import typer

from export.artifact.outputs import BINARY_KINDS, OUTPUTS
from export.artifact.size import NOMINAL_SIZE
from export.networks.table import LIBRARIES, OUTPUT_STRIDES, ZOO
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
    parse_batch,
    parse_numbers,
    parse_size,
)
from segport.output import say_artifact
from segport.table_option import completer, table_option


def export(
    model: Annotated[
        str,
        typer.Argument(
            help=f"A name of 'segport models', {', '.join(lib.help for lib in LIBRARIES.values())} "
            "or module:callable.",
            autocompletion=completer(ZOO),
        ),
    ],
    weights: Annotated[str, typer.Option(help="Checkpoint file, 'default' or 'random'.")],
    out: Output,
    seed: Annotated[int, typer.Option(help="Seed of random weights.")] = defaults.SEED,
    size: SizeText = None,
    batch: Annotated[str, typer.Option(help="Batch size, or 'dynamic'.")] = "1",
    output_stride: Annotated[
        int | None,
        table_option(help="{names}.", table=dict.fromkeys(map(str, OUTPUT_STRIDES), "")),
    ] = None,
    output: Annotated[str, table_option(help="{names}.", table=OUTPUTS)] = defaults.OUTPUT,
    weights_key: Annotated[
        str | None,
        typer.Option(help="Which weights, if a checkpoint holds several (such as an EMA)."),
    ] = None,
    output_name: Annotated[
        str | None, typer.Option(help="Which output, if the network has several.")
    ] = None,
    kind: Annotated[
        str | None,
        table_option(help="Networks with one channel: {names}.", table=BINARY_KINDS),
    ] = None,
    threshold: Threshold = defaults.THRESHOLD,
    mean: Annotated[
        Numbers, typer.Option(callback=check_numbers, help="Mean of R G B. Default: ImageNet's.")
    ] = None,
    std: Annotated[
        Numbers,
        typer.Option(callback=check_numbers, help="Deviation of R G B. Default: ImageNet's."),
    ] = None,
    classes: Classes = None,
    name: Name = None,
    as_json: AsJson = False,
) -> None:
    """Export a network to a verified fp32 ONNX artifact."""
    from segport.api.artifacts import export as make

    artifact = make(
        model,
        weights,
        out,
        seed=seed,
        size=parse_size(size, NOMINAL_SIZE) or "dynamic",
        batch=parse_batch(batch),
        output_stride=output_stride,
        output=output,
        classes=classes,
        name=name,
        weights_key=weights_key,
        output_name=output_name,
        kind=kind,
        threshold=threshold,
        mean=parse_numbers(mean),
        std=parse_numbers(std),
    )
    say_artifact(artifact, as_json)
