"""`segport gate`: its options, and what it tells people, CI servers and scripts."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from tests.segport.command import Answer, segport
from tests.validate.results import artifact_result, lost, result_of
from validate.gating.kinds import KINDS, option
from validate.result import Result


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """int8 that lost 0.4 points, and int8@npu that lost 3; fp32 beside them."""
    return _write(
        tmp_path / "result.json",
        result_of(lost("fp32", 0), lost("int8", 0.4), lost("int8@npu", 3.0, agreement=97.0)),
    )


def _write(path: Path, result: Result) -> Path:
    path.write_text(result.to_json())
    return path


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


def test_every_kind_of_budget_is_an_option_that_help_explains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = segport("gate", "--help").out
    for name, kind in KINDS.items():
        assert option(name) in shown and kind.help in " ".join(shown.split())


def test_budgets_of_several_kinds_targets_and_classes(result: Path) -> None:
    answer = segport(
        "gate", result, "--max-drop", "int8=0.5", "--max-drop", "int8@npu=3.5",
        "--min-agreement", "int8=97.5", "--max-class-drop", "cat=1", "--max-size", "int8=2MB",
    )  # fmt: skip
    assert answer.code == 1
    assert answer.out.splitlines() == [
        "PASS  int8: drop +0.400 is within 0.5",
        "PASS  int8@npu: drop +3.000 is within 3.5",
        "PASS  fp32: cat drop +0.000 is within 1",
        "PASS  int8: cat drop +0.000 is within 1",
        "PASS  int8@npu: cat drop +0.000 is within 1",
        "PASS  int8: agreement 100.000 % reaches 97.5 %",
        "FAIL  int8@npu: agreement 97.000 % falls short of 97.5 %",
        "PASS  int8: size 1.000 MB is within 2 MB",
        "PASS  int8@npu: size 1.000 MB is within 2 MB",
    ]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--max-drop", "int8"], "--max-drop int8: give ID=POINTS"),
        (["--max-class-drop", "cat"], "give [ID:]CLASS=POINTS"),
        (["--min-agreement", "int8=0.99"], "PERCENT from 2 to 100"),
        (["--max-size", "int8=6"], "6MB"),
        (["--max-drop", "int8=1", "--max-drop", "int8=2"], "--max-drop int8: given twice"),
        (["--max-drop", "int8=1", "--class-tolerance", "-1"], "--class-tolerance -1"),
        (["--update-baseline", "--baseline", "x.json", "--junit", "x.xml"], "judges nothing"),
        (["--min-int8-macs", "int8=97"], "SHARE"),
    ],
)
def test_wrong_options_are_one_line(result: Path, options: list[str], says: str) -> None:
    answer = segport("gate", result, *options)
    assert (answer.code, answer.out) == (2, "")
    (line,) = answer.errors
    assert says in line
    assert list(result.parent.iterdir()) == [result]


def test_an_id_that_is_not_there_and_a_value_that_is_unknown_exit_with_2(result: Path) -> None:
    answer = segport("gate", result, "--max-size", "int4=6MB", "--min-int8-macs", "int8@npu=0.9")
    assert answer.code == 2
    assert [line.split(":")[0] for line in answer.out.splitlines()] == [
        "CANNOT TELL  int4",
        "CANNOT TELL  int8@npu",
    ]


def test_unlabelled_results_say_what_to_gate_on_instead(tmp_path: Path) -> None:
    nothing: dict[str, Any] = {"miou": None, "drop": None, "class_iou": {}}
    int8 = artifact_result("int8", agreement=98.0, fidelity_miou=91.0, **nothing)
    path = _write(tmp_path / "result.json", result_of(int8))
    answer = segport("gate", path, "--max-drop", "int8=1")
    assert answer.code == 2
    assert "the images have no labels; give --min-agreement or --min-fidelity" in answer.out
    assert (
        segport("gate", path, "--min-agreement", "int8=98", "--min-fidelity", "int8=91").code == 0
    )
    assert segport("gate", path, "--min-fidelity", "int8=91.1").code == 1


def test_json_has_the_numbers_behind_every_verdict(result: Path) -> None:
    answer = segport("gate", result, "--max-drop", "int8=0.5", "--json")
    first = answer.json["verdicts"][0]
    assert first == {
        "id": "int8",
        "outcome": "pass",
        "reason": "drop +0.400 is within 0.5",
        "check": "max-drop",
        "value": pytest.approx(0.4),
        "limit": 0.5,
        "interval": None,
        "inconclusive": False,
    }


def _junit(answer: Answer, file: Path) -> dict[str | None, list[str]]:
    root = ET.parse(file).getroot()
    return {c.get("classname"): [child.tag for child in c] for c in root.iter("testcase")}


def test_junit_is_written_whatever_the_outcome(result: Path, tmp_path: Path) -> None:
    file = tmp_path / "new/gate.xml"
    answer = segport("gate", result, "--max-drop", "int8=0.5", "--junit", file)
    assert answer.code == 1
    assert _junit(answer, file) == {
        "net.squash.int8": ["system-out"],
        "net.squash.int8@npu": ["failure"],
    }
    (tmp_path / "file").write_text("")
    blocked = segport("gate", result, "--max-drop", "int8=5", "--junit", tmp_path / "file/x.xml")
    assert blocked.code == 2 and "cannot write" in blocked.errors[0]


def test_github_gets_annotations_and_a_table(
    result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "summary.md"
    page.write_text("from an earlier step\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    budget = ["gate", result, "--max-drop", "int8=0.5"]
    assert "::error" not in segport(*budget).out  # not on GitHub
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    answer = segport(*budget)
    assert answer.code == 1
    assert answer.out.splitlines()[2:] == [
        "::error title=segport%3A net squash int8@npu max-drop::drop +3.000 exceeds 0.5"
    ]
    assert page.read_text().startswith("from an earlier step\n### segport gate: net, squash")
    assert "| drop +3.000 exceeds 0.5 " in page.read_text()

    document = segport(*budget, "--json").json  # one document and nothing else
    assert document["exit_code"] == 1
    assert page.read_text().count("### segport gate") == 2
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    assert "GITHUB_STEP_SUMMARY" in segport(*budget).errors[0]
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    assert (segport(*budget).code, segport(*budget).errors) == (1, [])


def test_another_environment_is_a_warning_and_the_exit_code_stays(tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.json"
    before = _write(tmp_path / "before.json", result_of(lost("int8", 0.4)))
    assert segport("gate", before, "--baseline", baseline, "--update-baseline").code == 0
    there = result_of().environment | {"isa": ["avx2", "avx512_vnni"], "threads": 8}
    now = _write(tmp_path / "now.json", result_of(lost("int8", 0.4), environment=there))
    answer = segport("gate", now, "--baseline", baseline)
    assert answer.code == 0
    assert "WARN" not in answer.out  # what is judged, and nothing else
    (last,) = answer.errors
    assert last.startswith("WARN  environment: not that of baseline.json: ")
    assert "instruction sets avx2 -> avx2 avx512_vnni" in last and "threads 2 -> 8" in last


def test_a_planted_loss_of_one_point_fails(tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.json"
    before = _write(tmp_path / "before.json", result_of(lost("int8", 0.4)))
    segport("gate", before, "--baseline", baseline, "--update-baseline")
    document = json.loads(before.read_text())
    document["artifacts"][1]["miou"] -= 1
    (tmp_path / "now.json").write_text(json.dumps(document))
    answer = segport("gate", tmp_path / "now.json", "--baseline", baseline)
    assert answer.code == 1
    assert "FAIL  int8: mIoU 78.600 is -1.000 against the baseline" in answer.out
