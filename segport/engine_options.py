"""Options that say where images are counted, for every command that counts many."""

from typing import Annotated

import typer

from segport.table_option import table_option
from validate.counting.engines import ENGINES

Engine = Annotated[
    str | None,
    table_option(
        help="Count images in pieces that are kept, so that the same command goes on after an end: "
        "{names}. Default: in one go, with all cores for one image.",
        table=ENGINES,
    ),
]
WorkerCount = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Of the engine. Default: what the cores give."),
]
WorkerThreads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Of each worker. Default: 1. Results depend on it."),
]
WorkerGpus = Annotated[
    float | None, typer.Option("--gpus", min=0, help="That Ray reserves for each worker.")
]
TimeLimit = Annotated[
    float | None,
    typer.Option(
        "--time-limit", min=0.1, help="Seconds that a worker may take for an image. Default: 300."
    ),
]
Address = Annotated[
    str | None,
    typer.Option(help="Of Ray's cluster: auto, or host:port. Default: one of this machine alone."),
]
