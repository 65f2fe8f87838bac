"""`segport report`."""

from pathlib import Path
from typing import Annotated

import typer

from segport.arguments import AsJson, Output
from segport.output import say
from segport.table_option import table_option
from validate.report.table import REPORT_FORMATS


def report(
    result: Annotated[Path, typer.Argument(help="result.json of validate or run.")],
    out: Output,
    formats: Annotated[
        list[str] | None,
        table_option("--format", help="{names}. Default: all.", table=REPORT_FORMATS),
    ] = None,
    diagnosis: Annotated[
        list[Path] | None,
        typer.Option(help="Folder that 'segport diagnose' wrote: layer errors for report.html."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print a result as a table and write its report files."""
    from validate.report.report import report as write_report
    from validate.report.report import terminal_report
    from validate.result.result import load_result

    files = write_report(result, out, formats=formats or None, diagnoses=diagnosis or ())
    if as_json:
        say({"files": [str(file) for file in files]}, as_json)
        return
    written = "\n".join(f"wrote {file}" for file in files)
    say(f"{terminal_report(load_result(result))}\n\n{written}", as_json)
