"""`segport bench`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from segport.arguments import AsJson, Threads
from segport.choices import RUNTIMES, one_of
from segport.output import say


def bench(
    artifacts: Annotated[list[Path], typer.Argument(help="Artifacts; the first is the base.")],
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{', '.join(RUNTIMES)}; several: every artifact on each. Default: ort-cpu; for "
            "fp16 ort-cuda where there is a GPU.",
            autocompletion=one_of(RUNTIMES),
        ),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="With torch as runtime: the checkpoint exported from.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="ROOT[:SPLIT] or a folder whose first image is the input. Default: a seeded one."
        ),
    ] = None,
    threads: Threads = None,
    parallel: Annotated[
        int | None,
        typer.Option(min=1, help="Measure images/s of N sessions that share the threads, too."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each artifact, in turns.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Time artifacts in turns on CPUs held fixed; also load time, memory and throughput."""
    from segport.progress import stages

    with stages() as progress:
        progress.stage("open")
        from export.artifact.artifact import load_artifact
        from validate.speed.bench import bench as measure
        from validate.speed.bench_table import bench_lines

        found = measure(
            [load_artifact(path) for path in artifacts],
            runtimes=runtime or (),
            weights=weights,
            data=data,
            threads=threads,
            parallel=parallel,
            rounds=rounds,
            progress=progress,
        )
    say(asdict(found) if as_json else bench_lines(found), as_json)
