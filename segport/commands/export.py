"""`segport export`."""

from typing import Annotated

import typer

from segport.arguments import (
    AsJson,
    Classes,
    Numbers,
    Output,
    SizeText,
    check_numbers,
    parse_batch,
    parse_numbers,
    parse_size,
)
from segport.choices import BINARY_KINDS, OUTPUT_STRIDES, OUTPUTS, one_of
from segport.output import say_artifact


def export(
    model: Annotated[
        str,
        typer.Argument(
            help="A name of 'segport models', smp:NAME?ARGUMENT=..., hf:FOLDER or module:callable."
        ),
    ],
    weights: Annotated[str, typer.Option(help="Checkpoint file, 'default' or 'random'.")],
    out: Output,
    seed: Annotated[int, typer.Option(help="Seed of random weights.")] = 0,
    size: SizeText = None,
    batch: Annotated[str, typer.Option(help="Batch size, or 'dynamic'.")] = "1",
    output_stride: Annotated[
        int | None, typer.Option(help="16 or 8.", autocompletion=one_of(OUTPUT_STRIDES))
    ] = None,
    output: Annotated[
        str, typer.Option(help="logits, mask or both.", autocompletion=one_of(OUTPUTS))
    ] = "logits",
    weights_key: Annotated[
        str | None,
        typer.Option(help="Which weights, where a checkpoint holds several (an average beside)."),
    ] = None,
    output_name: Annotated[
        str | None, typer.Option(help="Which result, where your network gives several.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            help="Of a network with one channel: binary-logit or binary-probability.",
            autocompletion=one_of(BINARY_KINDS),
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="Of such a network: the probability its class begins at.")
    ] = 0.5,
    mean: Annotated[
        Numbers, typer.Option(callback=check_numbers, help="Mean of R G B. Default: ImageNet's.")
    ] = None,
    std: Annotated[
        Numbers,
        typer.Option(callback=check_numbers, help="Deviation of R G B. Default: ImageNet's."),
    ] = None,
    classes: Classes = None,
    name: Annotated[str | None, typer.Option(help="Name of the artifacts.")] = None,
    as_json: AsJson = False,
) -> None:
    """Export a network to a verified fp32 ONNX artifact."""
    from export.artifact.artifact import NOMINAL_SIZE
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
