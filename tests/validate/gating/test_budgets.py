"""Budgets of every kind, on results made by hand."""

from typing import Any

import pytest

from export.common.errors import UsageError
from tests.validate.results import artifact_result, lost, result_of, trusted
from validate.gating.judgement import Reading, judge
from validate.gating.kinds import KINDS
from validate.gating.rules import Rules
from validate.gating.verdict import Outcome, Verdict
from validate.result.facts import ClassDrop, SpreadFacts
from validate.result.result import Result

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
    (verdict,) = trusted(result, **budgets)
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
        ("max_class_drop", "cat", {"class_iou": {}}, "no drop: the images have no labels; "),
        ("max_class_drop", "int8:dog", {}, "no 'dog' drop: the class is in no label"),
        (
            "max_class_drop",
            "int8:dog",
            {"class_iou": {"dog": 5.0}},  # the reference has none
            "no 'dog' drop: the class is in no label",
        ),
        (
            "max_class_drop",
            "int8:cat",
            {"class_iou": {"cat": None}},
            "no 'cat' drop: the class is in no label",
        ),
        (
            "max_class_drop",
            "int8:cat",
            {"invented_classes": ["cat"]},
            "no 'cat' drop: the class is in no label",
        ),
        ("max_class_drop", "int8:cta", {}, "unknown class 'cta': did you mean 'cat'?"),
        ("min_fidelity", "int8", {"fidelity_miou": None}, "no fidelity mIoU in the result"),
        ("max_size", "int8", {"size_bytes": None}, "no size: it is not a file"),
        ("max_size_ratio", "int8", {"size_bytes": None}, "no size ratio: it is not a file"),
        (
            "max_latency_ratio",
            "int8",
            {"latency_ms": None},
            "no latency ratio: it was not timed",
        ),
        ("min_int8_macs", "int8", {"int8_macs_share": None, "int8_note": "an NPU"}, "an NPU"),
        ("min_int8_macs", "fp32", {}, "no share of MACs in int8: it is no int8 file"),
    ],
)
def test_a_value_that_is_not_there_cannot_be_told(
    kind: str, key: str, changes: dict[str, Any], says: str
) -> None:
    limit = "1MB" if kind == "max_size" else 2 if kind == "min_fidelity" else 0.5
    verdicts = trusted(_result(**changes), **{kind: {key: limit}})
    verdict = verdicts[-1]
    assert verdict.outcome is UNKNOWN
    assert verdict.reason.startswith(says) or verdict.reason.endswith(says)
    assert (verdict.value, verdict.limit) == (None, 1e6 if kind == "max_size" else limit)


def test_class_drops_need_the_reference_in_the_result() -> None:
    """Of results of earlier versions, which state no class drops."""
    int8 = _result().artifacts[2]
    verdict = _one(result_of(artifacts=[int8]), max_class_drop={"int8:cat": 5})
    assert verdict.reason == "no 'cat' drop: the class is in no label"


@pytest.mark.parametrize(
    ("kind", "key", "says"),
    [
        ("max_drop", "int9", "int9"),
        ("max_drop", "net/int9", "net/int9"),
        ("max_class_drop", "int9:cat", "int9:cat"),
        ("max_class_drop", "net/int9:cat", "net/int9:cat"),
    ],
)
def test_a_budget_for_what_is_not_there_is_named_as_it_was_written(
    kind: str, key: str, says: str
) -> None:
    verdict = _one(_result(), **{kind: {key: 1}})
    assert (verdict.id, verdict.outcome) == (says, UNKNOWN)
    assert verdict.reason == "not in the result; there: fp32, int8"
    alone = _one(result_of(), **{kind: {key: 1}})
    assert alone.reason == "not in the result; there: nothing"


@pytest.mark.parametrize("kind", ["max_size_ratio", "max_latency_ratio"])
def test_ratios_need_fp32_in_the_result(kind: str) -> None:
    verdict = _one(result_of(lost("int8", 0)), **{kind: {"int8": 1}})
    assert verdict.outcome is UNKNOWN and "fp32" in verdict.reason


def test_a_class_alone_budgets_every_artifact_and_the_closest_budget_counts() -> None:
    npu = lost("int8@npu", 1, class_iou={"cat": 60.0})
    result = result_of(lost("fp16", 0), _result().artifacts[2], npu)
    budgets = {"cat": 5.0, "int8:cat": 2.0, "int8@npu:cat": 10.0}
    verdicts = {v.id: (v.outcome, v.limit) for v in trusted(result, max_class_drop=budgets)}
    assert verdicts == {"fp16": (PASS, 5), "int8": (FAIL, 2), "int8@npu": (PASS, 10)}


def test_a_class_drop_comes_with_its_interval() -> None:
    facts = {"cat": ClassDrop(drop=3.0, ci95=(1.0, 5.0), images=40)}
    result = _result(class_drop=facts)
    assert _one(result, max_class_drop={"int8:cat": 5}).outcome is PASS
    straddling = _one(result, max_class_drop={"int8:cat": 4}, on_inconclusive="fail")
    assert straddling.outcome is FAIL and straddling.interval == (1, 5)


def test_a_lower_limit_looks_at_the_intervals_lower_end() -> None:
    def outcome(low: float, high: float) -> tuple[Outcome, bool]:
        found = judge(
            Reading(99, (low, high)), 99, at_most=False, rules=Rules(on_inconclusive="fail")
        )
        return found.outcome, found.inconclusive

    assert outcome(99, 99.5) == (PASS, False)
    assert outcome(98, 98.9) == (FAIL, False)
    assert outcome(98.5, 99.5) == (FAIL, True)


def test_a_confidence_asks_that_the_end_of_the_interval_is_inside() -> None:
    result = result_of(lost("int8", 0.4, drop_ci95=(0.1, 0.7)))
    assert _one(result, max_drop={"int8": 0.5}).outcome is PASS
    strict = _one(result, max_drop={"int8": 0.5}, confidence=95)
    assert strict.outcome is FAIL and "--confidence 95" in strict.reason
    assert _one(result, max_drop={"int8": 0.7}, confidence=95).outcome is PASS


def test_a_budget_may_name_the_network() -> None:
    result = result_of(lost("int8", 0.4))
    assert _one(result, max_drop={"net/int8": 0.3}).outcome is FAIL
    both = {"int8": 1, "net/int8": 0.3}
    assert [v.limit for v in trusted(result, max_drop=both)] == [0.3]  # it is named more closely
    assert trusted(result, max_drop={"other/int8": 0.1}) == []
    by_class = trusted(_result(), max_class_drop={"net/int8:cat": 2})
    assert [(v.id, v.outcome) for v in by_class] == [("int8", FAIL)]


def test_a_class_may_have_a_slash() -> None:
    before = artifact_result("torch-fp32", class_iou={"door/gate": 64.0})
    after = lost("int8", 0.4, class_iou={"door/gate": 60.0})
    result = result_of(artifacts=[before, after])
    assert _one(result, max_class_drop={"door/gate": 3}).outcome is FAIL  # no network "door"


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
        (
            "max_drop",
            "",
            1,
            "--max-drop =1: give an artifact id or a precision, such as int8 or net/int8",
        ),
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
        # what Python takes for a number, and nobody else
        ("max_drop", "int8", "1_0", "POINTS"),
        ("max_drop", "int8", "\u0661", "POINTS"),
        ("max_drop", "/int8", 1, "artifact id"),
        ("max_dorp", "int8", 1, "unknown budget 'max_dorp': did you mean 'max_drop'"),
        ("max_drop", "int8", -100.5, "--max-drop int8=-100.5: give POINTS, such as 0.5"),
        ("min_agreement", "int8", 1.9, "give PERCENT from 2 to 100, such as 99"),
        ("max_size", "int8", "999", "give a SIZE of 1KB or more, such as 6MB"),
        ("min_int8_macs", "int8", -0.01, "give a SHARE from 0 to 1, such as 0.97"),
        ("max_size_ratio", "int8", "2e9", "give a RATIO above 0, such as 0.5"),
        (
            "max_class_drop",
            "",
            1,
            "=1: give a class, such as person, int8:person or net/int8:person",
        ),
    ],
)
def test_a_budget_that_is_none_is_a_usage_error(
    kind: str, key: str, limit: object, says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        trusted(_result(), **{kind: {key: limit}})  # type: ignore[dict-item]
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "size"), [("6MB", 6e6), ("6 MiB", 6 * 2**20), ("1.5gb", 1.5e9), ("2000", 2000)]
)
def test_sizes_have_units(text: str, size: float) -> None:
    assert _one(_result(), max_size={"int8": text}).limit == size


def test_verdicts_are_whole() -> None:
    """Who, what, by which check, and the numbers, for each outcome."""
    drop = {"int8": 0.5}
    assert _one(_result(), max_drop=drop) == Verdict(
        "int8", PASS, "drop +0.400 is within 0.5", "max-drop", 0.4, 0.5, None, False
    )
    assert _one(_result(drop=0.75), max_drop=drop) == Verdict(
        "int8", FAIL, "drop +0.750 exceeds 0.5", "max-drop", 0.75, 0.5, None, False
    )
    assert _one(_result(), min_agreement={"int8": 98}) == Verdict(
        "int8", PASS, "agreement 98.500 % reaches 98 %", "min-agreement", 98.5, 98, None, False
    )
    assert _one(_result(), min_agreement={"int8": 99}) == Verdict(
        "int8", FAIL, "agreement 98.500 % falls short of 99 %", "min-agreement", 98.5, 99, None,
        False,
    )  # fmt: skip
    assert _one(_result(), max_size={"int8": "5 MB"}) == Verdict(
        "int8", FAIL, "size 5.500 MB exceeds 5 MB", "max-size", 5.5e6, 5e6, None, False
    )
    assert _one(_result(), max_class_drop={"int8:dog": 1}) == Verdict(
        "int8", UNKNOWN, "no 'dog' drop: the class is in no label", "max-class-drop dog",
        limit=1.0,
    )  # fmt: skip
    assert _one(_result(), max_class_drop={"int9:cat": 1}) == Verdict(
        "int9:cat", UNKNOWN, "not in the result; there: fp32, int8", "max-class-drop cat"
    )
    assert _one(_result(nonfinite_images=3), max_drop=drop) == Verdict(
        "int8", FAIL, "inf or NaN in the logits of 3 images", "max-drop"
    )


@pytest.mark.parametrize("text", ["5e-1", "5E-1", " +.5 ", "0.5"])
def test_numbers_may_have_exponents(text: str) -> None:
    assert _one(_result(), max_drop={"int8": text}).limit == 0.5


def test_the_network_counts_more_than_the_id_and_the_id_more_than_the_precision() -> None:
    npu = lost("int8@npu", 1.0)
    result = result_of(npu)
    keys = ["int8", "int8@npu", "net/int8", "net/int8@npu"]
    for index, closest in enumerate(keys):
        given = {key: float(place) for place, key in enumerate(keys[: index + 1])}
        (verdict,) = trusted(result, max_drop=given)
        assert verdict.limit == given[closest]
    assert [v.id for v in trusted(result, max_drop={"fp16": 1.0})] == ["fp16"]
    whole = {"net/": 0.25, "int8@npu": 0.5}
    assert [v.limit for v in trusted(result, max_drop=whole)] == [0.25]


def test_how_small_a_drop_shows_follows_from_the_level() -> None:
    """An interval of 95 % is 2 x 1.960 standard errors wide, one of 99 % 2 x 2.576."""
    result = result_of(lost("int8", 0.4, drop_ci95=(0.1, 0.7)))
    for level, deviations in ((None, 1.959964), (99, 2.575829)):
        verdict = _one(result, max_drop={"int8": 1}, confidence=level)
        assert verdict.reason.endswith(f"detectable from {2.801585 * 0.6 / (2 * deviations):.2f}")
    assert "detectable" not in _one(result_of(lost("int8", 0.4)), max_drop={"int8": 1}).reason
