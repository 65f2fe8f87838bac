"""Verdicts as JUnit XML, which CI servers show as tests."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from validate.gating.verdict import Outcome, Verdict
from validate.result import Result

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(result: Result, verdicts: Sequence[Verdict]) -> str:
    """Return a document with one test case per artifact and budget, named alike in every run.

    A regression is a `failure`, what cannot be told an `error`, because the gate does not pass
    then. What an inconclusive interval left to something else passes or fails like any other
    and says so in `system-out` or in the failure. Warnings go to the suite's `system-out`.
    """
    judged = [verdict for verdict in verdicts if verdict.outcome is not Outcome.WARN]
    counts = {
        "tests": len(judged),
        "failures": sum(v.outcome is Outcome.FAIL for v in judged),
        "errors": sum(v.outcome is Outcome.UNKNOWN for v in judged),
    }
    totals = {key: str(count) for key, count in counts.items()}
    root = ET.Element("testsuites", {"name": "segport gate", **totals, "time": "0"})
    name = _text(f"{result.name} {result.protocol}")
    suite = ET.SubElement(root, "testsuite", {"name": name, **totals, "skipped": "0", "time": "0"})
    _add_properties(suite, result)
    for verdict in judged:
        _add_case(suite, f"{result.name}.{result.protocol}", verdict)
    if warnings := [f"{v.id}: {v.reason}" for v in verdicts if v.outcome is Outcome.WARN]:
        ET.SubElement(suite, "system-out").text = _text("\n".join(warnings))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add_properties(suite: ET.Element, result: Result) -> None:
    data = result.dataset
    facts = {
        "reference": result.reference,
        "data": f"{data.name}:{data.split}, {data.images} images",
        "ids_sha256": data.ids_sha256,
    }
    properties = ET.SubElement(suite, "properties")
    for name, value in facts.items():
        ET.SubElement(properties, "property", {"name": name, "value": _text(value)})


def _add_case(suite: ET.Element, prefix: str, verdict: Verdict) -> None:
    names = {"classname": _text(f"{prefix}.{verdict.id}"), "name": _text(verdict.check)}
    case = ET.SubElement(suite, "testcase", {**names, "time": "0"})
    tag = {Outcome.FAIL: "failure", Outcome.UNKNOWN: "error"}.get(verdict.outcome)
    if tag is None:
        ET.SubElement(case, "system-out").text = _text(verdict.reason)
        return
    kind = "inconclusive" if verdict.inconclusive else _TYPES[tag]
    found = ET.SubElement(case, tag, {"message": _text(verdict.reason), "type": kind})
    found.text = _text(f"{verdict.id}: {verdict.reason}")


_TYPES = {"failure": "regression", "error": "cannot tell"}


def _text(text: str) -> str:
    """Leave out characters that XML cannot hold."""
    return _NO_XML.sub("", text)
