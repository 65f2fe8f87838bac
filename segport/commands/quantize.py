"""`segport quantize`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from segport.arguments import AsJson, Output, Protocol
from segport.choices import IO_TYPES, PRECISIONS, RANGE_RULES, TARGETS, one_of
from segport.output import say_artifact


def quantize(
    artifact: Annotated[Path, typer.Argument(help="An fp32 artifact.")],
    precision: Annotated[
        str, typer.Option(help="fp16 or int8.", autocompletion=one_of(PRECISIONS))
    ],
    out: Output,
    target: Annotated[
        str, typer.Option(help="Hardware the int8 file is for.", autocompletion=one_of(TARGETS))
    ] = "cpu",
    calibration: Annotated[
        str | None, typer.Option(help="VOC_ROOT[:SPLIT] (default split train) or a folder.")
    ] = None,
    protocol: Protocol = "squash",
    samples: Annotated[int, typer.Option(help="Calibration images.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of their choice.")] = 0,
    range_: Annotated[
        str,
        typer.Option(
            "--range",
            help="minmax, percentile or percentile:99.9.",
            autocompletion=one_of(RANGE_RULES),
        ),
    ] = "minmax",
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
    as_json: AsJson = False,
) -> None:
    """Make an fp16 or int8 artifact of an fp32 one."""
    from segport.progress import stages

    with stages() as progress:
        step = progress.stage(f"quantize {precision}")
        from export.artifact import load_artifact
        from quantize.quantization import Settings
        from quantize.quantization import quantize as quantize_artifact
        from validate.datasets import open_dataset
        from validate.samples import Preparation, Samples

        loaded = load_artifact(artifact)
        preparation = Preparation.for_artifact(loaded.manifest, protocol)
        images: Sequence[Any] = ()
        if calibration is not None:
            dataset = open_dataset(calibration, "train", masks=False).sample(samples, seed)
            images = Samples(dataset, preparation)
        made = quantize_artifact(
            loaded,
            precision,
            out,
            samples=images,
            protocol=protocol,
            settings=Settings(
                target=target,
                range=range_,
                io=io,
                guard=not no_guard,
                keep_float=tuple(keep_float or ()),
                seed=seed,
            ),
            progress=step,
        )
    say_artifact(made, as_json)
