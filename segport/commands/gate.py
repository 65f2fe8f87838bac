"""`segport gate`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from export.errors import UsageError
from segport.arguments import AsJson
from segport.budget_options import Budgets, with_budgets
from segport.choices import one_of
from segport.output import say
from validate.gating.judgement import ON_INCONCLUSIVE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from validate.gating.verdict import Verdict
    from validate.result import Result


@with_budgets
def gate(
    *,
    result: Annotated[Path, typer.Argument(help="result.json of validate or run.")],
    baseline: Annotated[Path | None, typer.Option(help="Baseline file to compare with.")] = None,
    tolerance: Annotated[float, typer.Option(help="Points below the baseline that pass.")] = 0.2,
    class_tolerance: Annotated[
        float | None, typer.Option(help="The same for the IoU of each class; default: not judged.")
    ] = None,
    on_inconclusive: Annotated[
        str | None,
        typer.Option(
            help="pass or fail, when the 95 % interval straddles a limit; default: the point "
            "estimate decides.",
            autocompletion=one_of(ON_INCONCLUSIVE),
        ),
    ] = None,
    update_baseline: Annotated[
        bool, typer.Option("--update-baseline", help="Write this result into --baseline.")
    ] = False,
    junit: Annotated[
        Path | None, typer.Option(help="Write the verdicts to this file as JUnit XML.")
    ] = None,
    as_json: AsJson = False,
    budgets: Budgets,
) -> None:
    """Judge a result: exit code 0 pass, 1 regression, 2 cannot tell.

    ID is an artifact's id or a precision, then of all its artifacts. On GitHub Actions verdicts
    become annotations, and a table on the run's page.
    """
    from segport.tables import verdict_lines
    from validate.gate import gate as judge
    from validate.gate import result_counts
    from validate.gating.baseline import update_baseline as write_baseline
    from validate.gating.verdict import Outcome, exit_code
    from validate.result import load_result

    loaded = load_result(result)
    if update_baseline:
        if baseline is None:
            raise UsageError("gate: --update-baseline needs --baseline FILE")
        if junit is not None or any(budgets.values()):
            raise UsageError(
                "gate: --update-baseline judges nothing; leave budgets and --junit out"
            )
        counts = result_counts(loaded, result.parent)
        entries = len(write_baseline(loaded, baseline, counts).entries)
        say({"entries": entries} if as_json else f"{baseline}: {entries} entries", as_json)
        return
    verdicts = judge(
        loaded,
        folder=result.parent,
        baseline=baseline,
        tolerance=tolerance,
        class_tolerance=class_tolerance,
        on_inconclusive=on_inconclusive,
        **budgets,
    )
    code = exit_code(verdicts)
    document = {"exit_code": code, "verdicts": [vars(verdict) for verdict in verdicts]}
    warnings = [verdict for verdict in verdicts if verdict.outcome is Outcome.WARN]
    judged = [verdict for verdict in verdicts if verdict.outcome is not Outcome.WARN]
    say(document if as_json else verdict_lines(judged), as_json)
    if warnings:
        typer.echo(verdict_lines(warnings), err=True)
    if junit is not None:
        _write_junit(junit, loaded, verdicts)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        _tell_github(loaded, verdicts, annotate=not as_json)
    raise typer.Exit(code)


def _write_junit(file: Path, result: "Result", verdicts: "Sequence[Verdict]") -> None:
    from export.files import new_files
    from validate.gating.junit import junit_xml

    with new_files(file) as (temporary,):
        temporary.write_text(junit_xml(result, verdicts), encoding="utf-8")


def _tell_github(result: "Result", verdicts: "Sequence[Verdict]", *, annotate: bool) -> None:
    """Print annotations, and append a table to the page of the workflow run."""
    from validate.gating.github import annotations, step_summary

    if annotate:
        for line in annotations(result, verdicts):
            say(line, as_json=False)
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with Path(page).open("a", encoding="utf-8") as file:
                file.write(step_summary(result, verdicts))
        except OSError as error:
            raise UsageError(
                f"GITHUB_STEP_SUMMARY {page}: cannot write ({error.strerror})"
            ) from error
