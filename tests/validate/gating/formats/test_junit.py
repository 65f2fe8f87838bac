"""JUnit XML, against the structure that CI servers read (junit-10.xsd of Jenkins' xunit-plugin)."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from tests.validate.results import lost, result_of, trusted
from validate.gating.formats.junit import junit_xml
from validate.gating.judged import Judged
from validate.gating.verdict import Outcome, Verdict

# attributes by element, and an order of children that older schemas ask for too
ATTRIBUTES = {
    "testsuites": {"name", "time", "tests", "failures", "errors"},
    "testsuite": {
        "name", "tests", "failures", "errors", "group", "time", "skipped", "timestamp", "hostname",
        "id", "package", "file", "log", "url",
    },
    "properties": set(),
    "property": {"name", "value"},
    "testcase": {"name", "time", "classname", "group"},
    "failure": {"type", "message"},
    "error": {"type", "message"},
    "system-out": set(),
}  # fmt: skip
CHILDREN = {
    "testsuites": ["testsuite"],
    "testsuite": ["properties", "testcase", "system-out"],
    "properties": ["property"],
    "testcase": ["error", "failure", "system-out"],
}
REQUIRED = {"testsuite": {"name", "tests", "failures", "errors"}, "testcase": {"name", "classname"}}


def _check(element: ET.Element) -> None:
    assert set(element.attrib) <= ATTRIBUTES[element.tag], element.tag
    assert set(element.attrib) >= REQUIRED.get(element.tag, set())
    order = [CHILDREN.get(element.tag, []).index(child.tag) for child in element]
    assert order == sorted(order)
    for child in element:
        _check(child)


def _parsed(verdicts: list[Verdict], **changes: Any) -> ET.Element:
    root = ET.fromstring(junit_xml([Judged(Path("result.json"), result_of(**changes), verdicts)]))
    _check(root)
    return root


PASSED = Verdict("fp16", Outcome.PASS, "drop +0.010 is within 0.1", "max-drop", 0.01, 0.1)
FAILED = Verdict("int8", Outcome.FAIL, "drop +0.700 exceeds 0.5", "max-drop", 0.7, 0.5)
UNSURE = Verdict("int8", Outcome.FAIL, "inconclusive", "baseline", inconclusive=True)
UNKNOWN = Verdict("int4", Outcome.UNKNOWN, "not in the result", "min-agreement")
WARNING = Verdict("environment", Outcome.WARN, "threads 2 -> 1", "environment")


def test_one_case_per_artifact_and_budget_and_totals_that_add_up() -> None:
    root = _parsed([PASSED, FAILED, UNSURE, UNKNOWN, WARNING])
    (suite,) = root
    for element in (root, suite):
        totals = [element.get(name) for name in ("tests", "failures", "errors")]
        assert totals == ["4", "2", "1"]
    assert suite.get("name") == "net squash"
    cases = {(c.get("classname"), c.get("name")): c for c in suite.iter("testcase")}
    assert len(cases) == 4
    passed, failed = (cases[f"net.squash.{id}", "max-drop"] for id in ("fp16", "int8"))
    assert [child.tag for child in passed] == ["system-out"]
    assert passed[0].text == "drop +0.010 is within 0.1"
    assert (failed[0].tag, failed[0].attrib) == (
        "failure",
        {"message": "drop +0.700 exceeds 0.5", "type": "regression"},
    )
    assert failed[0].text == "int8: drop +0.700 exceeds 0.5"
    assert cases["net.squash.int8", "baseline"][0].get("type") == "inconclusive"
    unknown = cases["net.squash.int4", "min-agreement"][0]
    assert (unknown.tag, unknown.get("type")) == ("error", "cannot tell")
    assert suite.findtext("system-out") == "environment: threads 2 -> 1"


def test_names_stay_the_same_when_a_limit_or_value_changes() -> None:
    """CI servers follow a test through its runs by name."""

    def names(drop: float, limit: float) -> list[str | None]:
        verdicts = trusted(
            result_of(lost("int8", drop)), max_drop={"int8": limit}, max_class_drop={"cat": limit}
        )
        return [case.get("name") for case in _parsed(verdicts).iter("testcase")]

    assert names(0.1, 0.5) == names(0.9, 0.2) == ["max-drop", "max-class-drop cat"]


def test_what_xml_must_escape_or_cannot_hold() -> None:
    odd = Verdict('<a> & "b"', Outcome.FAIL, "x < y & \x00\x1b\ufffe 'z'\n]]>", "max-drop <é>")
    root = _parsed([odd], name="a<b")
    case = root.find(".//testcase")
    assert case is not None
    assert case.get("classname") == 'a<b.squash.<a> & "b"' and case.get("name") == "max-drop <é>"
    assert case[0].get("message") == "x < y &  'z'\n]]>"


def test_results_are_suites_of_one_document_and_totals_are_of_all() -> None:
    named = [("a/result.json", "one"), ("b/result.json", "two"), ("c/result.json", "two")]
    judged = [Judged(Path(file), result_of(name=name), [PASSED, FAILED]) for file, name in named]
    root = ET.fromstring(junit_xml(judged))
    _check(root)
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("6", "3", "0")
    names = [suite.get("name") for suite in root]
    assert names == ["one squash", "two squash (b/result.json)", "two squash (c/result.json)"]
    cases = [(c.get("classname"), c.get("name")) for c in root.iter("testcase")]
    assert len(set(cases)) == len(cases) == 6
    assert cases[0] == ("one.squash.fp16", "max-drop")


def test_evidence_stands_below_the_failure() -> None:
    told = Verdict("int8", Outcome.FAIL, "lost 1", "baseline", evidence=("cat lost 9", "in a, b"))
    case = _parsed([told]).find(".//failure")
    assert case is not None and case.text == "int8: lost 1\ncat lost 9\nin a, b"
    assert case.get("message") == "lost 1"
