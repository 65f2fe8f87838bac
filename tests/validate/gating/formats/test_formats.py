"""The written forms of verdicts, each as its reader takes it."""

import json
import random
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from tests.export.common.test_escaping import HOSTILE
from tests.rendered import Rendered
from tests.validate.results import lost, result_of
from validate.gating.formats.formats import FORMATS
from validate.gating.formats.github import step_summary
from validate.gating.judged import Judged
from validate.gating.overall import headline, overall_code
from validate.gating.verdict import Outcome, Verdict
from validate.result.facts import DatasetFacts, ImageAgreement

PASSED = Verdict("fp16", Outcome.PASS, "drop +0.010 is within 0.1", "max-drop", 0.01, 0.1)
FAILED = Verdict(
    "int8", Outcome.FAIL, "drop +0.700 exceeds 0.5", "max-drop", 0.7, 0.5, evidence=("cat lost 9",)
)
UNKNOWN = Verdict("int4", Outcome.UNKNOWN, "not in the result", "min-agreement")
WARNING = Verdict("environment", Outcome.WARN, "threads 2 -> 1", "environment")
UNSURE = Verdict("fp16", Outcome.PASS, "judged by the point", "baseline", inconclusive=True)
WORST = [ImageAgreement(id=f"img_{n}", agreement=80.0 + n) for n in range(9)]


def _judged(*verdicts: Verdict, file: str = "a/result.json", **changes: Any) -> Judged:
    result = result_of(
        lost("fp16", 0.01), lost("int8", 0.7, worst_images=WORST, agreement=97.0), **changes
    )
    return Judged(Path(file), result, verdicts)


def _written(name: str, *judged: Judged, command: str = "") -> str:
    return FORMATS[name].render(judged, command)


def test_the_comment_says_first_what_matters_and_folds_what_passes() -> None:
    one = _judged(PASSED, FAILED, UNKNOWN, WARNING, UNSURE)
    text = _written("comment", one, command="segport gate a/result.json --max-drop int8=0.5")
    lines = text.splitlines()
    assert lines[0] == "<!-- segport gate -->"
    assert lines[1] == "**segport gate: ❌ 1 of 4 checks fail, 1 cannot be told**"
    looked, folded = text.split("<details>")
    assert "drop +0.700 exceeds 0.5" in looked and "not in the result" in looked
    assert "judged by the point" in looked and "threads 2 -> 1" in looked
    assert "drop +0.010" not in looked and "drop +0.010" in folded and "1 checks pass" in folded
    assert "- `int8` max-drop: cat lost 9" in lines
    worst = ", ".join(f"`img_{n}` ({80 + n}.00 %)" for n in range(5))
    assert f"- `int8`: {worst}" in lines
    assert "`segport gate a/result.json --max-drop int8=0.5`" in lines
    rendered = Rendered(text)
    assert rendered.tags.count("table") == 2 and rendered.tags.count("tr") == 2 + 5


def test_without_anything_wrong_the_comment_is_one_line_and_a_fold() -> None:
    text = _written("comment", _judged(PASSED))
    assert text.splitlines()[1] == "**segport gate: ✅ all 1 checks pass**"
    assert Rendered(text).tags.count("table") == 1 and "agree least" not in text


def test_a_long_comment_is_cut_with_a_sentence_and_keeps_what_fails() -> None:
    passing = [Verdict(f"a{n}", Outcome.PASS, "x" * 300, "max-drop") for n in range(1000)]
    failing = Verdict("int8", Outcome.FAIL, "@" * 100_000 + "|" * 100_000, "max-drop")
    text = _written("comment", _judged(*passing, failing), command="c" * 100_000)
    assert len(text) <= 65_000
    assert "more lines were left out" in text.splitlines()[-1]
    assert "❌ fail" in text and text.count("</details>") == 1
    assert Rendered(text).tags.count("table") == 2
    assert len(_written("comment", _judged(*[failing] * 500))) <= 65_000


def test_hostile_names_change_no_form() -> None:
    """The same tags, entries and counts as with plain names, whatever the names are."""
    texts = [
        *HOSTILE,
        "x" * 5000,
        *("".join(random.Random(n).sample(HOSTILE, 3)) for n in range(99)),
    ]
    plain = Rendered(_written("comment", _hostile("plain"))).tags
    summary = Rendered(step_summary([_hostile("plain")])).tags
    for text in texts:
        judged = _hostile(text)
        rendered = Rendered(_written("comment", judged))
        assert rendered.tags == plain, (text, rendered.html)
        assert rendered.references == [], text
        again = Rendered(step_summary([judged]))
        assert again.tags == summary, (text, again.html)
        assert again.references == [], text
        root = ET.fromstring(_written("junit", judged))
        assert len(root.findall(".//testcase")) == 2
        (entry, _) = json.loads(_written("code-quality", judged))
        assert "\n" not in entry["description"] and "\x1b" not in entry["description"]
        assert "\n" not in json.loads(_written("badge", judged))["message"]


def _hostile(text: str) -> Judged:
    facts = DatasetFacts(name=text, split=text, images=2, ids_sha256="b" * 64, labelled=True)
    worst = [ImageAgreement(id=text, agreement=50.0)]
    result = result_of(lost(text, 1, worst_images=worst), name=text, protocol=text, dataset=facts)
    failed = Verdict(text, Outcome.FAIL, f"a {text}", f"max-class-drop {text}", evidence=(text,))
    unknown = Verdict(text, Outcome.UNKNOWN, text or "-", text)
    return Judged(Path("result.json"), result, [failed, unknown])


@pytest.mark.parametrize(
    ("verdicts", "message", "colour"),
    [
        ([PASSED], "pass, fp16 drop 0.01", "brightgreen"),
        ([PASSED, FAILED], "fail, int8 drop 0.70", "red"),
        ([PASSED, UNKNOWN], "cannot tell, fp16 drop 0.01", "lightgrey"),
        ([], "cannot tell", "lightgrey"),
    ],
)
def test_the_badge_has_the_verdict_and_the_largest_drop(
    verdicts: list[Verdict], message: str, colour: str
) -> None:
    assert json.loads(_written("badge", _judged(*verdicts))) == {
        "schemaVersion": 1,
        "label": "segport",
        "message": message,
        "color": colour,
    }


def test_the_badge_of_several_results_names_the_network() -> None:
    judged = [_judged(PASSED, name="one"), _judged(FAILED, name="two")]
    message = json.loads(_written("badge", *judged))["message"]
    assert message == "fail, two int8 drop 0.70"


def test_the_badge_without_labels_has_the_lowest_agreement() -> None:
    result = result_of(lost("fp16", 0, drop_ci95=None), lost("int8", 0))
    unlabelled = [a.model_copy(update={"drop": None}) for a in result.artifacts]
    unlabelled[2] = unlabelled[2].model_copy(update={"agreement": 98.25})
    result = result.model_copy(update={"artifacts": unlabelled})
    passed = Verdict("int8", Outcome.PASS, "fine", "min-agreement")
    message = json.loads(_written("badge", Judged(Path("r"), result, [PASSED, passed])))["message"]
    assert message == "pass, int8 agrees on 98.25 %"


def test_code_quality_has_gitlabs_fields_and_stable_fingerprints() -> None:
    entries = json.loads(
        _written("code-quality", _judged(PASSED, FAILED, UNKNOWN, WARNING, UNSURE))
    )
    assert [entry["severity"] for entry in entries] == ["critical", "major", "info", "minor"]
    for entry in entries:
        assert set(entry) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert entry["location"] == {"path": "a/result.json", "lines": {"begin": 1}}
    assert entries[0]["description"] == "net squash int8: drop +0.700 exceeds 0.5"
    prints = [entry["fingerprint"] for entry in entries]
    assert len(set(prints)) == 4
    worse = Verdict("int8", Outcome.FAIL, "drop +0.900 exceeds 0.5", "max-drop", 0.9, 0.5)
    again = json.loads(_written("code-quality", _judged(worse, file="elsewhere.json")))
    assert [entry["fingerprint"] for entry in again] == prints[:1]
    twice = json.loads(_written("code-quality", _judged(FAILED), _judged(FAILED)))
    assert len({entry["fingerprint"] for entry in twice}) == 2


def test_the_gravest_result_decides() -> None:
    assert overall_code([_judged(PASSED), _judged(UNKNOWN), _judged(FAILED)]) == 1
    assert overall_code([_judged(PASSED), _judged(UNKNOWN)]) == 2
    assert overall_code([_judged(PASSED), _judged(WARNING)]) == 2
    assert (overall_code([_judged(PASSED)]), overall_code([])) == (0, 2)
    assert headline([_judged(UNKNOWN, PASSED)]) == "❓ 1 of 2 checks cannot be told"
    assert headline([]) == "❓ nothing was judged"
