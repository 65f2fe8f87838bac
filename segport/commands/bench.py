"""`segport bench`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from segport import defaults
from segport.arguments import AsJson, Threads, Weights
from segport.output import say
from segport.table_option import table_option
from validate.runtime.table import RUNTIMES


def bench(
    artifacts: Annotated[list[Path], typer.Argument(help="Artifacts; the first is the base.")],
    runtime: Annotated[
        list[str] | None,
        table_option(
            help="{names}; several with commas. Default: ort-cpu; for fp16 ort-cuda "
            "where there is a GPU.",
            table=RUNTIMES,
        ),
    ] = None,
    weights: Weights = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="ROOT[:SPLIT] or a folder whose first image is the input. Default: a seeded one."
        ),
    ] = None,
    threads: Threads = None,
    parallel: Annotated[
        int | None,
        typer.Option(min=1, help="Also measure images/s of N sessions that share the threads."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved runs of each artifact.")] = 30,
    min_agreement: Annotated[
        float,
        typer.Option(help="The fastest is one of those that match fp32 on X % of pixels."),
    ] = defaults.MIN_SELF_AGREEMENT,
    as_json: AsJson = False,
) -> None:
    """Time artifacts, interleaved, on fixed CPUs; also load time, memory and throughput."""
    from segport.progress import stages

    with stages() as progress:
        progress.stage("open")
        from export.artifact.artifact import load_artifact
        from validate.speed.bench import bench as measure
        from validate.speed.bench_table import bench_lines

        measured = measure(
            [load_artifact(path) for path in artifacts],
            runtimes=[name for names in runtime or () for name in names.split(",")],
            weights=weights,
            data=data,
            threads=threads,
            parallel=parallel,
            rounds=rounds,
            progress=progress,
        )
    say(asdict(measured) if as_json else bench_lines(measured, min_agreement), as_json)
