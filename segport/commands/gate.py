"""`segport gate`."""

from pathlib import Path
from typing import Annotated

import typer

from export.errors import UsageError
from segport.arguments import AsJson, parse_budgets
from segport.choices import ON_INCONCLUSIVE, one_of
from segport.output import say


def gate(
    result: Annotated[Path, typer.Argument(help="result.json of validate or run.")],
    max_drop: Annotated[
        list[str] | None,
        typer.Option(help="ID=X: points of mIoU an artifact or precision may lose."),
    ] = None,
    baseline: Annotated[Path | None, typer.Option(help="Baseline file to compare with.")] = None,
    tolerance: Annotated[float, typer.Option(help="Points below the baseline that pass.")] = 0.2,
    on_inconclusive: Annotated[
        str | None,
        typer.Option(
            help="pass or fail, when the interval straddles a budget.",
            autocompletion=one_of(ON_INCONCLUSIVE),
        ),
    ] = None,
    update_baseline: Annotated[
        bool, typer.Option("--update-baseline", help="Write this result into --baseline.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Judge a result: exit code 0 pass, 1 regression, 2 cannot tell."""
    from segport.tables import verdict_lines
    from validate.gate import exit_code
    from validate.gate import gate as judge
    from validate.gate import update_baseline as write_baseline
    from validate.result import load_result

    loaded = load_result(result)
    if update_baseline:
        if baseline is None:
            raise UsageError("gate: --update-baseline needs --baseline FILE")
        entries = len(write_baseline(loaded, baseline).entries)
        say({"entries": entries} if as_json else f"{baseline}: {entries} entries", as_json)
        return
    verdicts = judge(
        loaded,
        max_drop=parse_budgets(max_drop or []),
        baseline=baseline,
        tolerance=tolerance,
        on_inconclusive=on_inconclusive,
    )
    code = exit_code(verdicts)
    document = {"exit_code": code, "verdicts": [vars(verdict) for verdict in verdicts]}
    say(document if as_json else verdict_lines(verdicts), as_json)
    raise typer.Exit(code)
