"""`segport compare`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from segport.arguments import AsJson
from segport.output import say


def compare(
    first: Annotated[Path, typer.Argument(metavar="A.json", help="A result.json.")],
    second: Annotated[
        Path, typer.Argument(metavar="B.json", help="Another result on the same images.")
    ],
    as_json: AsJson = False,
) -> None:
    """Compare two results of the same images, artifact by artifact."""
    from validate.report.compare_results import compare_results
    from validate.report.compare_table import comparison_lines

    comparison = compare_results(first, second)
    say(asdict(comparison) if as_json else comparison_lines(comparison), as_json)
