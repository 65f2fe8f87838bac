"""Verdicts as JUnit XML, which CI servers show as tests."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence

from export.common.escaping import xml
from validate.gating.judged import Judged
from validate.gating.overall import titles
from validate.gating.verdict import Outcome, Verdict


def junit_xml(judged: Sequence[Judged]) -> str:
    """Return a document with one suite per result and one test case per artifact and check.

    Named alike in every run. A regression is a `failure`, what cannot be told an `error`,
    because the gate does not pass then. What an inconclusive interval left to something else
    passes or fails like any other and says so in `system-out` or in the failure, where the
    evidence is, too. Warnings go to the suite's `system-out`.
    """
    totals = _totals(verdict for gated in judged for verdict in gated.verdicts)
    root = ET.Element("testsuites", {"name": "segport gate", **totals, "time": "0"})
    for title, gated in zip(titles(judged), judged, strict=True):
        _add_suite(root, title, gated)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _totals(verdicts: Iterable[Verdict]) -> dict[str, str]:
    outcomes = [v.outcome for v in verdicts if v.outcome is not Outcome.WARN]
    counts = {
        "tests": len(outcomes),
        "failures": outcomes.count(Outcome.FAIL),
        "errors": outcomes.count(Outcome.UNKNOWN),
    }
    return {key: str(count) for key, count in counts.items()}


def _add_suite(root: ET.Element, title: str, one: Judged) -> None:
    facts = {"name": xml(title), **_totals(one.verdicts), "skipped": "0", "time": "0"}
    suite = ET.SubElement(root, "testsuite", facts)
    _add_properties(suite, one)
    prefix = f"{one.result.name}.{one.result.protocol}"
    if title != f"{one.result.name} {one.result.protocol}":  # another result is called the same
        prefix = f"{prefix}.{one.file.as_posix()}"
    for verdict in one.verdicts:
        if verdict.outcome is not Outcome.WARN:
            _add_case(suite, prefix, verdict)
    if warnings := [f"{v.id}: {v.reason}" for v in one.verdicts if v.outcome is Outcome.WARN]:
        ET.SubElement(suite, "system-out").text = xml("\n".join(warnings))


def _add_properties(suite: ET.Element, one: Judged) -> None:
    data = one.result.dataset
    facts = {
        "file": one.file.as_posix(),
        "reference": one.result.reference,
        "data": f"{data.name}:{data.split}, {data.images} images",
        "ids_sha256": data.ids_sha256,
    }
    properties = ET.SubElement(suite, "properties")
    for name, value in facts.items():
        ET.SubElement(properties, "property", {"name": name, "value": xml(value)})


def _add_case(suite: ET.Element, prefix: str, verdict: Verdict) -> None:
    names = {"classname": xml(f"{prefix}.{verdict.id}"), "name": xml(verdict.check)}
    case = ET.SubElement(suite, "testcase", {**names, "time": "0"})
    tag = {Outcome.FAIL: "failure", Outcome.UNKNOWN: "error"}.get(verdict.outcome)
    if tag is None:
        ET.SubElement(case, "system-out").text = xml(verdict.reason)
        return
    kind = "inconclusive" if verdict.inconclusive else _TYPES[tag]
    element = ET.SubElement(case, tag, {"message": xml(verdict.reason), "type": kind})
    element.text = xml("\n".join([f"{verdict.id}: {verdict.reason}", *verdict.evidence]))


_TYPES = {"failure": "regression", "error": "cannot tell"}
