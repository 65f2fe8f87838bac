"""`segport bench`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from export.common.errors import UsageError
from segport import defaults
from segport.arguments import AsJson, Weights
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
    threads: Annotated[
        str | None,
        typer.Option(help="CPUs to pin, one thread on each; several with commas. Default: all."),
    ] = None,
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
        from validate.speed.bench_table import bench_lines, ranking_line

        loaded = [load_artifact(path) for path in artifacts]
        measured = [
            measure(
                loaded,
                runtimes=[name for names in runtime or () for name in names.split(",")],
                weights=weights,
                data=data,
                threads=count,
                parallel=parallel,
                rounds=rounds,
                progress=progress,
            )
            for count in _counts(threads)
        ]
    if as_json:
        documents = [asdict(one) for one in measured]
        say(documents if documents[1:] else documents[0], as_json)
    else:
        tables = [bench_lines(one, min_agreement) for one in measured]
        say("\n\n".join([*tables, *ranking_line(measured, min_agreement)]), as_json)


def _counts(threads: str | None) -> list[int | None]:
    """Return numbers of threads, each once; raise UsageError for what is none."""
    if threads is None:
        return [None]
    parts = dict.fromkeys(threads.split(","))
    if not all(part.isdecimal() and int(part) for part in parts):
        raise UsageError(f"--threads {threads}: give numbers from 1 on, with commas between them")
    return [int(part) for part in parts]
