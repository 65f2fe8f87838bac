"""Options that say where images are counted, for every command that counts many."""

from typing import Annotated

import typer

from export.workers.engines import ENGINES
from segport.table_option import table_option

Engine = Annotated[
    str | None,
    table_option(
        help="Workers: {names}.",
        table=ENGINES,
    ),
]
WorkerCount = Annotated[
    int | None,
    typer.Option("--workers", help="How many."),
]
WorkerThreads = Annotated[
    int | None,
    typer.Option("--threads", help="Per worker; 1."),
]
WorkerGpus = Annotated[float | None, typer.Option("--gpus", help="Per worker of Ray.")]
TimeLimit = Annotated[
    float | None,
    typer.Option("--time-limit", help="Seconds per image; 300."),
]
Address = Annotated[
    str | None,
    typer.Option(help="Of a Ray cluster."),
]
