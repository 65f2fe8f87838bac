"""`segport lint`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from segport.arguments import AsJson
from segport.output import say


def lint(
    artifact: Annotated[Path, typer.Argument(help="An artifact of any precision.")],
    as_json: AsJson = False,
) -> None:
    """Check a file against its target's rules: exit code 0 no errors, 1 errors found."""
    from export.artifact.artifact import load_artifact
    from quantize.lint.lint import exit_code
    from quantize.lint.lint import lint as findings_of
    from segport.tables import finding_lines

    findings = findings_of(load_artifact(artifact))
    code = exit_code(findings)
    document = {"exit_code": code, "findings": [asdict(finding) for finding in findings]}
    say(document if as_json else finding_lines(findings), as_json)
    raise typer.Exit(code)
