"""Budgets of every kind, on results made by hand."""

from typing import Any

import pytest

from export.errors import UsageError
from tests.validate.results import artifact_result, lost, result_of
from validate.gate import gate
from validate.gating.judgement import Reading, judge
from validate.gating.kinds import KINDS
from validate.gating.verdict import Outcome, Verdict
from validate.result import ClassDrop, Result, SpreadFacts

PASS, FAIL, UNKNOWN = Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN


def _latency(median: float) -> SpreadFacts:
    return SpreadFacts(median=median, p10=median, p90=median)


def _result(**changes: Any) -> Result:
    """fp32 of 20 MB and 100 ms; int8 of 5.5 MB and 45 ms that kept 98.5 % of the pixels."""
    facts: dict[str, Any] = {
        "agreement": 98.5,
        "fidelity_miou": 96.25,
        "size_bytes": 5_500_000,
        "latency_ms": _latency(45),
        "int8_macs_share": 0.984,
        "class_iou": {"background": 89.5, "cat": 67.0, "dog": None},
    }
    fp32 = lost("fp32", 0, size_bytes=20_000_000, latency_ms=_latency(100))
    int8 = artifact_result("int8", **{"miou": 79.6, "drop": 0.4, **facts, **changes})
    return result_of(fp32, int8)


def _one(result: Result, **budgets: Any) -> Verdict:
    (verdict,) = gate(result, **budgets)
    return verdict


# A value by hand beside two limits that it is inside and outside of.
@pytest.mark.parametrize(
    ("kind", "key", "inside", "outside", "says"),
    [
        ("max_drop", "int8", 0.4, 0.39, "drop +0.400"),
        ("max_class_drop", "int8:cat", 3, 2.9, "cat drop +3.000"),  # 70 - 67
        ("max_class_drop", "int8:background", 0.5, 0.4, "background drop +0.500"),
        ("min_agreement", "int8", 98.5, 98.6, "agreement 98.500 %"),
        ("min_fidelity", "int8", 96.25, 96.3, "fidelity mIoU 96.250 %"),
        ("max_size", "int8", "5.5MB", "5.4MB", "size 5.500 MB"),
        ("max_size", "int8", 5_500_000, "5499 KB", "size 5.500 MB"),
        ("max_size_ratio", "int8", 0.275, 0.27, "size ratio to fp32 0.275"),
        ("max_latency_ratio", "int8", 0.45, 0.44, "latency ratio to fp32 0.450"),
        ("min_int8_macs", "int8", 0.984, 0.985, "share of MACs in int8 0.984"),
    ],
)
def test_a_value_is_read_off_the_result_and_a_limit_it_equals_holds(
    kind: str, key: str, inside: float, outside: float, says: str
) -> None:
    passed, failed = (_one(_result(), **{kind: {key: limit}}) for limit in (inside, outside))
    assert (passed.id, passed.outcome, failed.outcome) == ("int8", PASS, FAIL)
    assert passed.reason.startswith(f"{says} ") and failed.reason.startswith(f"{says} ")
    assert passed.reason != failed.reason
    assert passed.check.startswith(kind.replace("_", "-"))


def test_every_kind_is_tested_above() -> None:
    marks = test_a_value_is_read_off_the_result_and_a_limit_it_equals_holds.pytestmark
    assert {case[0] for case in marks[0].args[1]} == set(KINDS)


@pytest.mark.parametrize(
    ("kind", "key", "changes", "says"),
    [
        ("max_drop", "int8", {"drop": None}, "--min-agreement or --min-fidelity"),
        ("max_class_drop", "cat", {"class_iou": {}}, "no labels"),
        ("max_class_drop", "int8:dog", {}, "in no label"),
        ("max_class_drop", "int8:cta", {}, "did you mean 'cat'"),
        ("min_fidelity", "int8", {"fidelity_miou": None}, "no fidelity"),
        ("max_size", "int8", {"size_bytes": None}, "no file"),
        ("max_latency_ratio", "int8", {"latency_ms": None}, "not timed"),
        ("min_int8_macs", "int8", {"int8_macs_share": None, "int8_note": "an NPU"}, "an NPU"),
        ("min_int8_macs", "fp32", {}, "no int8 file"),
    ],
)
def test_a_value_that_is_not_there_cannot_be_told(
    kind: str, key: str, changes: dict[str, Any], says: str
) -> None:
    limit = "1MB" if kind == "max_size" else 2 if kind == "min_fidelity" else 0.5
    verdicts = gate(_result(**changes), **{kind: {key: limit}})
    verdict = verdicts[-1]
    assert verdict.outcome is UNKNOWN and says in verdict.reason
    assert verdict.value is None


@pytest.mark.parametrize("kind", ["max_size_ratio", "max_latency_ratio"])
def test_ratios_need_fp32_in_the_result(kind: str) -> None:
    verdict = _one(result_of(lost("int8", 0)), **{kind: {"int8": 1}})
    assert verdict.outcome is UNKNOWN and "fp32" in verdict.reason


def test_unlabelled_images_are_gated_by_agreement_and_fidelity() -> None:
    nothing: dict[str, Any] = {"drop": None, "miou": None, "class_iou": {}}
    result = _result(**nothing)
    verdicts = gate(result, min_agreement={"int8": 98}, min_fidelity={"int8": 97})
    outcomes = {v.check: v.outcome for v in verdicts}
    assert outcomes == {"min-agreement": PASS, "min-fidelity": FAIL}


def test_a_class_that_only_predictions_have_lost_nothing() -> None:
    iou = {"background": 89.5, "cat": 67.0, "dog": 0.0}
    result = _result(class_iou=iou, invented_classes=["dog"])
    assert _one(result, max_class_drop={"int8:dog": 100}).outcome is UNKNOWN


def test_a_class_alone_budgets_every_artifact_and_the_closest_budget_counts() -> None:
    npu = lost("int8@npu", 1, class_iou={"cat": 60.0})
    result = result_of(lost("fp16", 0), _result().artifacts[2], npu)
    budgets = {"cat": 5.0, "int8:cat": 2.0, "int8@npu:cat": 10.0}
    verdicts = {v.id: (v.outcome, v.limit) for v in gate(result, max_class_drop=budgets)}
    assert verdicts == {"fp16": (PASS, 5), "int8": (FAIL, 2), "int8@npu": (PASS, 10)}


def test_a_class_drop_comes_with_its_interval() -> None:
    facts = {"cat": ClassDrop(drop=3.0, ci95=(1.0, 5.0), images=40)}
    result = _result(class_drop=facts)
    assert _one(result, max_class_drop={"int8:cat": 5}).outcome is PASS
    straddling = _one(result, max_class_drop={"int8:cat": 4}, on_inconclusive="fail")
    assert straddling.outcome is FAIL and straddling.interval == (1, 5)


def test_a_lower_limit_looks_at_the_intervals_lower_end() -> None:
    def outcome(low: float, high: float) -> tuple[Outcome, bool]:
        found = judge(Reading(99, (low, high)), 99, at_most=False, on_inconclusive="fail")
        return found.outcome, found.inconclusive

    assert outcome(99, 99.5) == (PASS, False)
    assert outcome(98, 98.9) == (FAIL, False)
    assert outcome(98.5, 99.5) == (FAIL, True)


@pytest.mark.parametrize(
    ("value", "interval", "outcome"),
    [
        (-0.3, (-0.9, 0.1), PASS),  # perhaps no change at all
        (-0.3, (-0.6, -0.1), FAIL),  # a change, and more likely beyond 0.2 than not
        (-0.15, (-0.3, -0.05), PASS),
        (-0.3, (-0.4, -0.25), FAIL),
        (-0.3, None, FAIL),
    ],
)
def test_a_change_that_may_be_none_is_no_regression(
    value: float, interval: tuple[float, float] | None, outcome: Outcome
) -> None:
    found = judge(Reading(value, interval), -0.2, at_most=False, no_change=0)
    assert found.outcome is outcome


def test_the_reference_itself_has_a_size_and_nothing_else() -> None:
    fp32 = artifact_result("fp32", drop=None, size_bytes=20_000_000)
    result = result_of(reference="fp32", artifacts=[fp32, _result().artifacts[2]])
    assert _one(result, max_size={"fp32": "25MB"}).outcome is PASS
    assert _one(result, max_size_ratio={"fp32": 1}).outcome is UNKNOWN
    assert _one(result, min_agreement={"fp32": 99}).reason == (
        "is the reference itself, it has no agreement"
    )


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "max_class_drop"])
def test_broken_logits_fail_by_every_kind(kind: str) -> None:
    limit = {"max_size": "1GB", "min_agreement": 2, "min_fidelity": 2}.get(kind, 1)
    verdict = _one(_result(nonfinite_images=2), **{kind: {"int8": limit}})
    assert verdict.outcome is FAIL and "inf or NaN" in verdict.reason


@pytest.mark.parametrize(
    ("kind", "key", "limit", "says"),
    [
        ("max_drop", "int8", "x", "--max-drop int8=x: give POINTS"),
        ("max_drop", "int8", float("nan"), "give POINTS"),
        ("max_drop", "int8", 101, "give POINTS"),
        ("max_drop", "int8", True, "give POINTS"),
        ("max_drop", "", 1, "artifact id or a precision"),
        ("max_class_drop", "int8:", 1, "give a class"),
        ("max_class_drop", ":cat", 1, "give a class"),
        # a share where percent is meant would let everything pass
        ("min_agreement", "int8", 0.99, "PERCENT"),
        ("min_agreement", "int8", 100.1, "PERCENT"),
        ("min_fidelity", "int8", "1", "PERCENT"),
        # and percent where a share is meant nothing
        ("min_int8_macs", "int8", 97, "SHARE"),
        ("max_size", "int8", 6, "6MB"),
        ("max_size", "int8", "6 MO", "6MB"),
        ("max_size", "int8", "-6MB", "6MB"),
        ("max_size", "int8", "1.2.3MB", "6MB"),
        ("max_size_ratio", "int8", 0, "RATIO"),
        ("max_latency_ratio", "int8", "inf", "RATIO"),
        ("max_dorp", "int8", 1, "did you mean 'max_drop'"),
    ],
)
def test_a_budget_that_is_none_is_a_usage_error(
    kind: str, key: str, limit: object, says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        gate(_result(), **{kind: {key: limit}})  # type: ignore[dict-item]
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "size"), [("6MB", 6e6), ("6 MiB", 6 * 2**20), ("1.5gb", 1.5e9), ("2000", 2000)]
)
def test_sizes_have_units(text: str, size: float) -> None:
    assert _one(_result(), max_size={"int8": text}).limit == size
