"""`segport quantize`."""

from pathlib import Path
from typing import Annotated

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


def quantize(
    artifact: Annotated[Path, typer.Argument(help="An fp32 artifact.")],
    precision: Annotated[
        str, typer.Option(help="fp16 or int8.", autocompletion=one_of(PRECISIONS))
    ],
    out: Output,
    target: Annotated[
        str | None,
        typer.Option(
            help="Hardware the int8 file is for. Default: that of this machine.",
            autocompletion=one_of(TARGETS),
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            help="ROOT[:SPLIT] of VOC, SBD or COCO (default split train), or a folder of images."
        ),
    ] = None,
    protocol: Protocol = "squash",
    samples: Annotated[int, typer.Option(help="Calibration images.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of their choice.")] = 0,
    range_: Annotated[
        str | None,
        typer.Option(
            "--range",
            help="minmax, moving-average, percentile (or percentile:99.9), entropy or mse. "
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
        typer.Option(help="int8: leave layers in float until mIoU drops by no more points."),
    ] = None,
    min_agreement: Annotated[
        float | None,
        typer.Option(help="int8: the same until so many percent of pixels are as in fp32."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Images that judge this search, ROOT[:SPLIT] (default split train) or a "
            "folder. Default: those of --calibration."
        ),
    ] = None,
    labels: LabelMap = None,
    mask_suffix: MaskSuffix = None,
    accept: Accept = None,
    search_minutes: Annotated[
        float, typer.Option(help="Minutes for this search; then the best so far.")
    ] = MINUTES,
    min_self_agreement: Annotated[
        float,
        typer.Option(help="Percent of pixels as in fp32, below which nothing is written."),
    ] = 95.0,
    force: Annotated[bool, typer.Option("--force", help="Write the file all the same.")] = False,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Make an fp16 or int8 artifact of an fp32 one."""
    from segport.progress import stages

    with stages() as progress:
        step = progress.stage(f"quantize {precision}")
        from export.artifact import load_artifact
        from quantize.quantization import check_settings
        from quantize.quantization import quantize as quantize_artifact
        from quantize.self_check import SelfCheck
        from quantize.settings import Settings
        from segport.searching import Request, held_back, open_search, requested
        from segport.speed_check import speed_lines
        from validate.datasets import Dataset, open_dataset
        from validate.samples import Preparation, Samples
        from validate.traps import MASK_SIZE, check_accepted

        settings = Settings(
            target=target,
            range=range_,
            added=tuple(with_ or ()),
            skipped=tuple(skip or ()),
            io=io,
            guard=not no_guard,
            keep_float=tuple(keep_float or ()),
        )
        check_settings(precision, settings)
        request: Request | None = requested(
            max_drop, min_agreement, data or calibration, search_minutes
        )
        loaded = load_artifact(artifact)
        if download:
            from validate.data.download import fetch

            for source in filter(None, (calibration, data)):
                fetch(source, "train", progress.stage("download"))
        check_accepted(accept or ())
        preparation = Preparation.for_artifact(
            loaded.manifest, protocol, labels, fit=MASK_SIZE in (accept or ())
        )
        images: Dataset | None = None
        if calibration is not None:
            images = open_dataset(calibration, "train", masks=False).sample(samples, seed)
        search = (
            open_search(
                request,
                loaded,
                images,
                preparation,
                seed,
                progress.note,
                mask_suffix=mask_suffix,
                accepted=accept or (),
            )
            if request
            else None
        )
        unseen = held_back(calibration, images, preparation, seed) if calibration and images else ()
        made = quantize_artifact(
            loaded,
            precision,
            out,
            samples=Samples(images, preparation) if images else (),
            settings=settings,
            search=search,
            progress=step,
            check=SelfCheck(unseen, min_self_agreement, force),
        )
        if request:
            from validate.frontier_plot import write_frontier  # imports matplotlib

            write_frontier(made)
        timed = speed_lines(loaded, made, Samples(images, preparation)[0]) if images else []
    say_artifact(made, as_json, default_target=target is None)
    if timed and not as_json:
        say("\n".join(timed), as_json)
