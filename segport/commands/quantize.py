"""`segport quantize`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantize.search.clock import MINUTES
from segport.arguments import (
    Accept,
    AsJson,
    Download,
    LabelMap,
    MaskSuffix,
    Output,
    Protocol,
)
from segport.choices import IO_TYPES, METHODS, PRECISIONS, RANGE_RULES, TARGETS, one_of
from segport.output import say, say_artifact

if TYPE_CHECKING:
    from export.artifact.artifact import Artifact


def quantize(
    artifact: Annotated[Path, typer.Argument(help="An fp32 artifact.")],
    precision: Annotated[
        str, typer.Option(help="fp16 or int8.", autocompletion=one_of(PRECISIONS))
    ],
    out: Output,
    target: Annotated[
        str | None,
        typer.Option(
            help="Hardware of int8. Default: this machine's.",
            autocompletion=one_of(TARGETS),
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(help="ROOT[:SPLIT] (default train), or a folder."),
    ] = None,
    protocol: Protocol = "squash",
    samples: Annotated[int, typer.Option(help="Calibration images.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of their choice.")] = 0,
    range_: Annotated[
        str | None,
        typer.Option(
            "--range",
            help="minmax, moving-average, percentile[:99.9], entropy or mse. "
            "Default: the target's.",
            autocompletion=one_of(RANGE_RULES),
        ),
    ] = None,
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", help="int8: a method to add.", autocompletion=one_of(METHODS)),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(help="int8: a method to leave out.", autocompletion=one_of(METHODS)),
    ] = None,
    io: Annotated[
        str,
        typer.Option(
            help="fp16: type of inputs and outputs, fp32 or fp16.",
            autocompletion=one_of(IO_TYPES),
        ),
    ] = "fp32",
    no_guard: Annotated[bool, typer.Option("--no-guard", help="fp16: convert everything.")] = False,
    keep_float: Annotated[
        list[str] | None, typer.Option(help="Glob of layer names to leave in float.")
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(help="int8: float layers until mIoU drops <= X points."),
    ] = None,
    min_agreement: Annotated[
        float | None,
        typer.Option(help="int8: the same until X % of pixels are as in fp32."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Images that judge this search. Default: those of --calibration."),
    ] = None,
    labels: LabelMap = None,
    mask_suffix: MaskSuffix = None,
    accept: Accept = None,
    search_minutes: Annotated[float, typer.Option(help="Minutes of this search.")] = MINUTES,
    min_self_agreement: Annotated[
        float,
        typer.Option(help="Percent of pixels as in fp32, below which nothing is written."),
    ] = 95.0,
    force: Annotated[bool, typer.Option("--force", help="Write the file all the same.")] = False,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Make an fp16 or int8 artifact of an fp32 one."""
    from segport.api.quantizing import quantize as make

    made = make(
        artifact,
        precision,
        out,
        images=calibration,
        samples=samples,
        seed=seed,
        protocol=protocol,
        target=target,
        range_=range_,
        with_=with_ or (),
        skip=skip or (),
        io=io,
        guard=not no_guard,
        keep_float=keep_float or (),
        max_drop=max_drop,
        min_agreement=min_agreement,
        data=data,
        labels=labels,
        mask_suffix=mask_suffix,
        accept=accept or (),
        search_minutes=search_minutes,
        min_self_agreement=min_self_agreement,
        force=force,
        download=download,
    )
    say_artifact(made, as_json, default_target=target is None)
    if calibration is not None and not as_json and (timed := _timed(artifact, made, calibration)):
        say("\n".join(timed), as_json)


def _timed(fp32: Path, made: "Artifact", calibration: str) -> list[str]:
    """Say how fast the file is beside fp32, on the first of the images."""
    from export.artifact.artifact import load_artifact
    from segport.speed_check import speed_lines
    from validate.data.datasets import open_dataset
    from validate.samples.samples import Preparation, Samples

    loaded = load_artifact(fp32)
    preparation = Preparation.for_artifact(
        loaded.manifest, made.manifest.calibration_protocol or "squash"
    )
    first = open_dataset(calibration, "train", masks=False).first(1)
    return speed_lines(loaded, made, Samples(first, preparation)[0])
