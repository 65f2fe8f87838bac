"""Judge results: their artifacts against budgets, against a baseline, and the files they are of."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from export.common.errors import UsageError
from validate.gating.baseline.against_baseline import judge_baseline
from validate.gating.baseline.baseline import key_of
from validate.gating.budgets import GateBudget, judge_budgets, read_budgets
from validate.gating.counted import Counted, count
from validate.gating.judged import Judged
from validate.gating.kinds import KINDS, option
from validate.gating.rules import DEFAULTS, Rules
from validate.gating.shipped import check_shipped
from validate.gating.verdict import Verdict
from validate.result.result import Result, load_result

Budgets = Mapping[str, float | str] | None
"""Limits by what they are for, such as {"int8": 0.5}; see `validate.gating.budgets.parse_key`."""


def gate(
    result: Result,
    *,
    folder: Path | None = None,
    baseline: Path | None = None,
    artifacts: Path | None = None,
    rules: Rules = DEFAULTS,
    **budgets: Budgets,
) -> list[Verdict]:
    """Judge every budgeted artifact, and every artifact against the baseline.

    `budgets` are those of `KINDS`, such as `max_drop={"int8": 0.5}`. All figures are counted
    again from the confusion.npz in `folder`; what no counts bear out cannot be told unless
    `rules.trust`. `artifacts` is a folder whose files must be those that were judged. Raises
    UsageError for wrong budgets and where there is neither budget nor baseline, DataError for
    files that cannot be read.
    """
    wanted = _all_budgets(budgets, baseline)
    return _judge([count(result, folder, rules)], wanted, baseline, artifacts, rules)[0]


def gate_files(
    files: Sequence[Path],
    *,
    baseline: Path | None = None,
    artifacts: Path | None = None,
    rules: Rules = DEFAULTS,
    **budgets: Budgets,
) -> list[Judged]:
    """Judge several result files together, as `gate` does one.

    An artifact of the baseline may be in any of them. Raises UsageError, too, for a budget of a
    network that none of them is of.
    """
    wanted = _all_budgets(budgets, baseline)
    results = [load_result(file) for file in files]
    names = {result.name for result in results}
    for budget in wanted:
        if budget.key.network not in (None, *names):
            raise UsageError(
                f"{option(budget.kind)} {budget.key}: no result is of the network "
                f"'{budget.key.network}'; there: {', '.join(sorted(names))}"
            )
    counted = [
        count(result, file.parent, rules) for file, result in zip(files, results, strict=True)
    ]
    verdicts = _judge(counted, wanted, baseline, artifacts, rules)
    return [Judged(*one) for one in zip(files, results, verdicts, strict=True)]


def _all_budgets(budgets: Mapping[str, Budgets], baseline: Path | None) -> list[GateBudget]:
    wanted = read_budgets(budgets)
    if not wanted and baseline is None:
        first = option(next(iter(KINDS)))
        raise UsageError(f"gate: no budget; give {first} ID=X or --baseline FILE")
    return wanted


def _judge(
    results: Sequence[Counted],
    budgets: Sequence[GateBudget],
    baseline: Path | None,
    artifacts: Path | None,
    rules: Rules,
) -> list[list[Verdict]]:
    """Return the verdicts of each result: budgets, baseline, files, and doubts about it."""
    present = {key_of(result.result, a) for result in results for a in result.result.artifacts}
    shipped = check_shipped([result.result for result in results], artifacts) if artifacts else None
    judged = []
    for index, counted in enumerate(results):
        verdicts = judge_budgets(counted, budgets, rules)
        if baseline is not None:
            verdicts += judge_baseline(counted, baseline, rules, present)
        if shipped is not None:
            verdicts += shipped[index]
        judged.append([*verdicts, *counted.verdicts])
    return judged
