"""Options that say where images are counted, for every command that counts many."""

from collections.abc import Mapping
from typing import Any

import typer

from export.common.errors import UsageError
from export.workers.engines import ENGINES, Workers
from segport.grouped_options import grouped, option
from segport.table_option import table_option

_OPTIONS = (
    option("engine", str, table_option(help="Workers: {names}.", table=ENGINES)),
    option("workers", int, typer.Option(help="How many.")),
    option("threads", int, typer.Option(help="Per worker; 1.")),
    option("gpus", float, typer.Option(help="Per worker of Ray.")),
    option("time_limit", float, typer.Option(help="Seconds per image; 300.")),
    option("address", str, typer.Option(help="Of a Ray cluster.")),
)
_FIELDS = {"workers": "count", "time_limit": "seconds"}
"""Fields of Workers that have another name than their option."""


def workers_of(values: Mapping[str, Any]) -> Workers | None:
    """Return what these options ask for; UsageError for those that need an engine without one."""
    asked = {_FIELDS.get(n, n): value for n, value in values.items() if value is not None}
    if asked and "engine" not in asked:
        raise UsageError(
            "--workers, --threads, --gpus, --time-limit and --address go with --engine"
        )
    return Workers(**asked) if asked else None


with_engine = grouped("workers", _OPTIONS, workers_of)
"""Give a command the options of an engine; it gets Workers, or None, in `workers`."""

with_workers = grouped("workers", _OPTIONS[:2], workers_of)
"""The same with the engine and the number alone, where help has no room for more."""
