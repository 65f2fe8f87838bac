"""`segport doctor`."""

from typing import Annotated

import typer

from segport.arguments import AsJson
from segport.output import say


def doctor(
    clear_cache: Annotated[
        bool, typer.Option("--clear-cache", help="Delete the statistics kept for calibration.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show versions, CPU, runtimes, free memory and the size of the cache."""
    from segport.about import facts, lines
    from segport.health import clear, health

    freed = clear() if clear_cache else None
    report = facts() | health()
    if freed is not None:
        report["cleared"] = f"{freed / 1e6:.1f} MB"
    say(report if as_json else lines(report), as_json)
