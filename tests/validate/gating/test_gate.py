from pathlib import Path

import pytest

from export.common.errors import UsageError
from tests.validate.results import artifact_result, lost, result_of, trusted
from validate.gating.judgement import Reading, judge
from validate.gating.rules import Rules
from validate.gating.verdict import Outcome, Verdict, exit_code
from validate.result.result import Result

PASS, FAIL, UNKNOWN = Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN


def _outcomes(result: Result, **budgets: float) -> dict[str, Outcome]:
    names = {name.replace("__", "@"): budget for name, budget in budgets.items()}
    return {verdict.id: verdict.outcome for verdict in trusted(result, max_drop=names)}


def _code(result: Result, **budgets: float) -> int:
    names = {name.replace("__", "@"): budget for name, budget in budgets.items()}
    return exit_code(trusted(result, max_drop=names))


def test_each_budget_judges_its_artifact() -> None:
    result = result_of(lost("fp32", 0.01), lost("fp16", 0.04), lost("int8", 0.7))
    assert _outcomes(result, fp16=0.05, int8=0.5) == {"fp16": PASS, "int8": FAIL}
    assert _code(result, fp16=0.05, int8=0.5) == 1
    assert _code(result, fp16=0.05, int8=0.8) == 0
    assert _code(result, fp32=0.005) == 1


def test_a_drop_equal_to_its_budget_passes() -> None:
    assert _code(result_of(lost("int8", 0.5)), int8=0.5) == 0
    assert _code(result_of(lost("int8", 0.5001)), int8=0.5) == 1
    # as binary fractions 70.3 - 70.1 comes out a little above 0.2
    assert 70.3 - 70.1 > 0.2
    result = result_of(artifact_result("int8", miou=70.1, drop=70.3 - 70.1))
    assert _code(result, int8=0.2) == 0


def test_a_gain_is_within_any_budget_but_a_negative_one() -> None:
    result = result_of(lost("int8", -0.3))
    assert _code(result, int8=0) == 0
    assert _code(result, int8=-0.2) == 0
    assert _code(result, int8=-100) == 1


def test_a_precision_budgets_every_artifact_of_it() -> None:
    result = result_of(lost("int8@npu", 0.9), lost("int8@dsp", 0.1), lost("fp16", 9))
    assert _outcomes(result, int8=0.5) == {"int8@npu": FAIL, "int8@dsp": PASS}
    assert _code(result, int8=1) == 0


def test_the_reference_has_no_drop_to_judge() -> None:
    result = result_of(lost("fp16", 0))
    (verdict,) = trusted(result, max_drop={"torch-fp32": 1})
    assert verdict.outcome == UNKNOWN and "reference" in verdict.reason
    assert _code(result, **{"torch-fp32": 1}) == 2


def test_broken_logits_fail_whatever_the_drop() -> None:
    result = result_of(lost("fp16", 0, nonfinite_images=3))
    (verdict,) = trusted(result, max_drop={"fp16": 1})
    assert verdict.outcome == FAIL and "inf or NaN" in verdict.reason and "3" in verdict.reason
    unlabelled = result_of(artifact_result("fp16", miou=None, drop=None, nonfinite_images=1))
    assert _code(unlabelled, fp16=1) == 1


@pytest.mark.parametrize("budgets", [None, {}])
def test_no_budget_at_all_is_a_usage_error(budgets: dict[str, float] | None) -> None:
    with pytest.raises(UsageError, match="no budget"):
        trusted(result_of(lost("int8", 0)), max_drop=budgets)


def test_wrong_options_are_usage_errors(tmp_path: Path) -> None:
    result = result_of(lost("int8", 0))
    with pytest.raises(UsageError, match="pass or fail"):
        trusted(result, max_drop={"int8": 1}, on_inconclusive="maybe")
    for tolerance in (-0.1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="tolerance"):
            trusted(result, baseline=tmp_path / "baseline.json", tolerance=tolerance)


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([PASS], 0),
        ([PASS, PASS], 0),
        ([PASS, FAIL], 1),
        ([PASS, UNKNOWN], 2),
        ([UNKNOWN, FAIL, PASS], 1),  # a regression that was found outweighs what is unknown
        ([], 2),
    ],
)
def test_exit_codes(outcomes: list[Outcome], code: int) -> None:
    assert exit_code([Verdict("x", outcome, "") for outcome in outcomes]) == code


@pytest.mark.parametrize(
    ("interval", "on_inconclusive", "expected"),
    [
        # wholly inside the budget of 0.5, wholly outside, and straddling it
        ((0.1, 0.4), None, PASS),
        ((0.1, 0.4), "fail", PASS),
        ((0.1, 0.5), "fail", PASS),
        ((0.6, 0.9), None, FAIL),
        ((0.6, 0.9), "pass", FAIL),
        ((0.2, 0.8), "pass", PASS),
        ((0.2, 0.8), "fail", FAIL),
    ],
)
@pytest.mark.parametrize("drop", [0.3, 0.7])
def test_the_interval_decides_before_the_point(
    drop: float, interval: tuple[float, float], on_inconclusive: str | None, expected: Outcome
) -> None:
    judged = judge(Reading(drop, interval), 0.5, rules=Rules(on_inconclusive=on_inconclusive))
    assert judged.outcome == expected
    assert f"{interval[0]:+.3f} to {interval[1]:+.3f}" in judged.remark


@pytest.mark.parametrize(("drop", "expected"), [(0.3, PASS), (0.5, PASS), (0.7, FAIL)])
def test_an_inconclusive_interval_is_judged_by_the_point_and_says_so(
    drop: float, expected: Outcome
) -> None:
    judged = judge(Reading(drop, (0.2, 0.8)), 0.5)
    assert judged.outcome == expected and judged.inconclusive
    assert "inconclusive" in judged.remark and "point estimate" in judged.remark


@pytest.mark.parametrize("on_inconclusive", [None, "pass", "fail"])
@pytest.mark.parametrize(("drop", "expected"), [(0.3, PASS), (0.7, FAIL)])
def test_without_an_interval_the_point_decides(
    drop: float, on_inconclusive: str | None, expected: Outcome
) -> None:
    judged = judge(Reading(drop), 0.5, rules=Rules(on_inconclusive=on_inconclusive))
    assert judged.outcome == expected and not judged.inconclusive and not judged.remark


def test_gate_takes_the_interval_from_the_result() -> None:
    result = result_of(lost("int8", 0.4, drop_ci95=(0.1, 0.9)))
    codes = [
        exit_code(trusted(result, max_drop={"int8": 0.5}, on_inconclusive=choice))
        for choice in (None, "pass", "fail")
    ]
    assert codes == [0, 0, 1]
