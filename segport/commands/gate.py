"""`segport gate`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from export.common.errors import UsageError
from segport.arguments import AsJson
from segport.budget_options import Budgets, with_budgets
from segport.format_options import Written, with_formats
from segport.output import command_line, say, say_to_ci
from segport.table_option import table_option
from validate.gating.formats.formats import FORMATS
from validate.gating.rules import (
    AGREEMENT_TOLERANCE,
    CLASS_TOLERANCE,
    ON_INCONCLUSIVE,
    TOLERANCE,
    Rules,
)

if TYPE_CHECKING:
    from validate.gating.judged import Judged


@with_formats
@with_budgets
def gate(
    *,
    results: Annotated[
        list[str],
        typer.Argument(help="Files result.json, folders, or a quoted glob."),
    ],
    baseline: Annotated[Path | None, typer.Option(help="Baseline file to compare with.")] = None,
    tolerance: Annotated[float, typer.Option(help="mIoU points it may fall below.")] = TOLERANCE,
    class_tolerance: Annotated[
        float, typer.Option(help="The same for the IoU of every class.")
    ] = CLASS_TOLERANCE,
    agreement_tolerance: Annotated[
        float, typer.Option(help="The same for agreement.")
    ] = AGREEMENT_TOLERANCE,
    max_drift: Annotated[
        float | None,
        typer.Option(help="Points below the anchor. Default: twice --tolerance."),
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(help="Judge budgets by this interval's end, percent."),
    ] = None,
    on_inconclusive: Annotated[
        str | None,
        table_option(help="{names}, if the interval straddles a limit.", table=ON_INCONCLUSIVE),
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Judge figures that no counts confirm.")
    ] = False,
    allow_overlap: Annotated[
        bool, typer.Option("--allow-overlap", help="Judge files on images that influenced them.")
    ] = False,
    artifacts: Annotated[
        Path | None, typer.Option(help="Folder whose files must be those that were judged.")
    ] = None,
    update_baseline: Annotated[
        bool, typer.Option("--update-baseline", help="Accept these results into --baseline.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Reason; --update-baseline needs it.")] = "",
    new_anchor: Annotated[
        bool, typer.Option("--new-anchor", help="With --update-baseline: count drift from here.")
    ] = False,
    plan: Annotated[
        float | None,
        typer.Option(help="How many images show a drop of X points."),
    ] = None,
    self_test: Annotated[
        bool,
        typer.Option("--self-test", help="Check that planted regressions are caught."),
    ] = False,
    as_json: AsJson = False,
    budgets: Budgets,
    written: Written,
) -> None:
    """Judge results: exit code 0 pass, 1 regression, 2 cannot tell; the worst of all.

    ID is an artifact's id or a precision, then of all its artifacts; NETWORK/ID that of one
    network. On GitHub Actions verdicts become annotations, and a table on the run's page.
    """
    from segport.result_files import result_files

    files = result_files(results)
    rules = Rules(
        tolerance=tolerance,
        class_tolerance=class_tolerance,
        agreement_tolerance=agreement_tolerance,
        max_drift=max_drift,
        confidence=confidence,
        on_inconclusive=on_inconclusive,
        trust=trust,
        allow_overlap=allow_overlap,
    )
    judging = bool(written) or any(budgets.values()) or artifacts is not None
    chosen = [
        option
        for option, given in (
            ("--update-baseline", update_baseline),
            ("--plan", plan is not None),
            ("--self-test", self_test),
        )
        if given
    ]
    if len(chosen) > 1:
        raise UsageError(f"gate: {' and '.join(chosen)} do different things; give one of them")
    if update_baseline:
        if baseline is None:
            raise UsageError("gate: --update-baseline needs --baseline FILE")
        _only(chosen[0], judging)
        _update(files, baseline, reason, new_anchor, rules, as_json)
    elif reason or new_anchor:
        raise UsageError("gate: --reason and --new-anchor go with --update-baseline")
    elif plan is not None:
        _only(chosen[0], judging)
        _plan(files, plan, rules, as_json)
    elif self_test:
        _only(chosen[0], judging)
        _self_test(files, baseline, rules, as_json)
    else:
        _judge(files, baseline, artifacts, rules, budgets, written, as_json)


def _only(option: str, judging: bool) -> None:
    if judging:
        forms = ", ".join(f"--{name}" for name in FORMATS)
        raise UsageError(f"gate: {option} judges nothing; leave budgets, --artifacts, {forms} out")


def _judge(
    files: Sequence[Path],
    baseline: Path | None,
    artifacts: Path | None,
    rules: Rules,
    budgets: Budgets,
    written: Written,
    as_json: bool,
) -> None:
    from segport.gate_lines import gate_lines, verdict_lines
    from validate.gating.gate import gate_files
    from validate.gating.verdict import Outcome, exit_code

    judged = gate_files(files, baseline=baseline, artifacts=artifacts, rules=rules, **budgets)
    everything = [verdict for gated in judged for verdict in gated.verdicts]
    code = exit_code(everything)
    say(_document(judged, code) if as_json else gate_lines(judged), as_json)
    if warnings := [v for v in everything if v.outcome is Outcome.WARN]:
        typer.echo(verdict_lines(warnings), err=True)
    for name, file in written.items():
        _write(file, FORMATS[name].render(judged, command_line()))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        _tell_github(judged, annotate=not as_json)
    raise typer.Exit(code)


def _document(judged: "Sequence[Judged]", code: int) -> dict[str, object]:
    results = [
        {
            "file": str(gated.file),
            "name": gated.result.name,
            "protocol": gated.result.protocol,
            "verdicts": [vars(verdict) for verdict in gated.verdicts],
        }
        for gated in judged
    ]
    document: dict[str, object] = {"exit_code": code, "results": results}
    if len(judged) == 1:
        document["verdicts"] = results[0]["verdicts"]
    return document


def _update(
    files: Sequence[Path],
    baseline: Path,
    reason: str,
    new_anchor: bool,
    rules: Rules,
    as_json: bool,
) -> None:
    from validate.gating.baseline.acceptance import update_baseline
    from validate.gating.counted import count
    from validate.result.result import load_result

    counted = [count(load_result(file), file.parent, rules) for file in files]
    done = update_baseline(counted, baseline, reason, new_anchor=new_anchor)
    lines = [f"{baseline}: {done.entries} entries"]
    for what, ids in (
        ("accepted", done.accepted), ("unchanged", done.unchanged), ("retired", done.retired)
    ):  # fmt: skip
        if ids:
            lines.append(f"{what}: {', '.join(ids)}")
    lines += [
        f"noise of {a.id}: mIoU {a.noise.miou:.3f}, a class {a.noise.class_iou:.3f}, agreement "
        f"{a.noise.agreement:.3f} ({', '.join(a.noise.settings)})"
        for one in counted
        for a in one.result.artifacts
        if a.noise is not None and a.id in done.accepted
    ]
    say(vars(done) if as_json else "\n".join(lines), as_json)


def _plan(files: Sequence[Path], points: float, rules: Rules, as_json: bool) -> None:
    from segport.gate_lines import plan_lines
    from validate.gating.counted import count
    from validate.gating.proof.plan import plan_images
    from validate.result.result import load_result

    plans = [plan_images(count(load_result(file), file.parent, rules), points) for file in files]
    planned = [one for plan in plans for one in plan]
    say([vars(one) for one in planned] if as_json else plan_lines(planned, points), as_json)


def _self_test(files: Sequence[Path], baseline: Path | None, rules: Rules, as_json: bool) -> None:
    from segport.gate_lines import self_test_lines
    from validate.gating.counted import count
    from validate.gating.proof.self_test import self_test
    from validate.result.result import load_result

    trials = [
        trial
        for file in files
        for trial in self_test(count(load_result(file), file.parent, rules), baseline, rules)
    ]
    slipped = [trial for trial in trials if trial.slipped]
    say([vars(trial) for trial in trials] if as_json else self_test_lines(trials), as_json)
    raise typer.Exit(2 if slipped else 0)


def _write(file: Path, text: str) -> None:
    from export.common.files import new_files

    with new_files(file) as (temporary,):
        temporary.write_text(text, encoding="utf-8")


def _tell_github(judged: "Sequence[Judged]", *, annotate: bool) -> None:
    """Print annotations, and append a table to the page of the workflow run."""
    from validate.gating.formats.github import annotations, step_summary

    if annotate:
        for line in annotations(judged):
            say_to_ci(line)
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with Path(page).open("a", encoding="utf-8") as file:
                file.write(step_summary(judged))
        except OSError as error:
            raise UsageError(
                f"GITHUB_STEP_SUMMARY {page}: cannot write ({error.strerror})"
            ) from error
