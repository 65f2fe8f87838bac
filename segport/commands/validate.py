"""`segport validate`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from export.common.tables import either
from export.workers.engines import Workers
from segport.arguments import (
    Accept,
    AllowFallback,
    AsJson,
    Download,
    LabelMap,
    MaskSuffix,
    Output,
    Protocol,
    Runtime,
    Weights,
)
from segport.engine_options import with_engine
from segport.output import command_line, say
from segport.table_option import table_option
from validate.accumulation.names import ACCUMULATORS
from validate.data.layouts import data_help
from validate.runtime.table import RUNTIMES
from validate.samples.protocols import DEFAULT_PROTOCOL


@with_engine
def validate(
    *,
    artifacts: Annotated[list[Path], typer.Argument(help="Artifacts of one network.")],
    data: Annotated[
        str,
        typer.Option(help=data_help("val")),
    ],
    out: Output,
    protocol: Protocol = DEFAULT_PROTOCOL,
    reference: Annotated[
        str | None,
        typer.Option(
            help=f"An fp32 artifact, {either(n for n, r in RUNTIMES.items() if r.rebuilds)}. "
            "Default: the fp32 one given."
        ),
    ] = None,
    weights: Weights = None,
    runtime: Runtime = None,
    allow_fallback: AllowFallback = False,
    limit: Annotated[int | None, typer.Option(help="Use the first N images only.")] = None,
    allow_overlap: Annotated[
        bool, typer.Option("--allow-overlap", help="Accept calibration images; marks the result.")
    ] = False,
    labels: LabelMap = None,
    mask_suffix: MaskSuffix = None,
    accept: Accept = None,
    download: Download = False,
    pictures: Annotated[int, typer.Option(min=0, help="Keep the N images that agree least.")] = 0,
    noise: Annotated[
        bool,
        typer.Option(
            "--noise",
            help="Measure the noise that a baseline allows for.",
        ),
    ] = False,
    accumulate: Annotated[
        str | None,
        table_option(
            help="Also with sums as devices have them: {names}.",
            table=ACCUMULATORS,
        ),
    ] = None,
    as_json: AsJson = False,
    workers: Workers | None,
) -> None:
    """Compare artifacts with their reference; without labels by agreement and fidelity."""
    from segport.api.validating import validate as compare
    from validate.report.report import terminal_report

    result = compare(
        artifacts,
        data,
        out,
        protocol=protocol,
        reference=reference,
        weights=weights,
        runtime=runtime,
        limit=limit,
        allow_overlap=allow_overlap,
        allow_fallback=allow_fallback,
        labels=labels,
        mask_suffix=mask_suffix,
        accept=accept or (),
        download=download,
        pictures=pictures,
        noise=noise,
        accumulate=accumulate,
        workers=workers,
        command=command_line(),
    ).result
    say(json.loads(result.to_json()) if as_json else terminal_report(result), as_json)
