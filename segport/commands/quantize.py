"""`segport quantize`."""

from collections import ChainMap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from export.workers.engines import Workers
from quantize.int8.methods import METHODS
from quantize.precisions import IO_TYPES, PRECISIONS
from quantize.ranges.table import RANGE_RULES
from quantize.search.clock import MINUTES
from quantize.targets import TARGETS
from segport import defaults
from segport.arguments import (
    Accept,
    AsJson,
    Download,
    Force,
    LabelMap,
    MaskSuffix,
    Output,
    Protocol,
)
from segport.auto import AUTO, AUTO_HELP
from segport.engine_options import with_workers
from segport.output import say, say_artifact
from segport.table_option import table_option
from validate.samples.protocols import DEFAULT_PROTOCOL

if TYPE_CHECKING:
    from export.artifact.artifact import Artifact


@with_workers
def quantize(
    *,
    artifact: Annotated[Path, typer.Argument(help="An fp32 artifact.")],
    precision: Annotated[str, table_option(help="{names}.", table=PRECISIONS)],
    out: Output,
    target: Annotated[
        str | None,
        table_option(
            help="Hardware of int8: {names}. auto times all. Default: this machine's.",
            table=ChainMap({AUTO: AUTO_HELP}, TARGETS),  # which come first
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(help="ROOT[:SPLIT] (default train), or a folder."),
    ] = None,
    protocol: Protocol = DEFAULT_PROTOCOL,
    samples: Annotated[int, typer.Option(help="Calibration images.")] = defaults.SAMPLES,
    seed: Annotated[int, typer.Option(help="Seed for choosing them.")] = defaults.SEED,
    range_: Annotated[
        str | None,
        table_option("--range", help="{names}. Default: the target's.", table=RANGE_RULES),
    ] = None,
    with_: Annotated[
        list[str] | None,
        table_option("--with", help="int8: add {names}.", table=METHODS),
    ] = None,
    skip: Annotated[
        list[str] | None,
        table_option(help="int8: one of these to leave out.", table=METHODS),
    ] = None,
    io: Annotated[
        str,
        table_option(help="fp16: ends in {names}.", table=IO_TYPES),
    ] = defaults.IO_TYPE,
    no_guard: Annotated[bool, typer.Option("--no-guard", help="fp16: convert everything.")] = False,
    keep_float: Annotated[
        list[str] | None, typer.Option(help="Glob of layers or weights to leave in float.")
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(help="int8: float layers until drop <= X points."),
    ] = None,
    min_agreement: Annotated[
        float | None,
        typer.Option(help="int8: the same until X % match fp32."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="For this search. Default: --calibration."),
    ] = None,
    labels: LabelMap = None,
    mask_suffix: MaskSuffix = None,
    accept: Accept = None,
    search_minutes: Annotated[float, typer.Option(help="Minutes for this search.")] = MINUTES,
    min_self_agreement: Annotated[
        float,
        typer.Option(help="Least match with fp32, %."),
    ] = defaults.MIN_SELF_AGREEMENT,
    force: Force = False,
    download: Download = False,
    as_json: AsJson = False,
    workers: Workers | None,
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
        workers=workers,
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
