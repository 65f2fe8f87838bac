"""`segport gate`: its options, and what it tells people, CI servers and scripts."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.segport.command import Answer, segport
from tests.validate.results import artifact_result, lost, result_of, written
from validate.gating.kinds import KINDS, option
from validate.result.result import Result


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


def _gate(*arguments: Any) -> Answer:
    """Judge results that have no counts beside them, as all results made by hand."""
    return segport("gate", "--trust", *arguments)


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
    answer = _gate(result, "--max-drop", "int8=0.5", "--max-drop", "int8@npu=3.5",
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
        (["--max-drop", "int8="], "--max-drop int8=: give ID=POINTS"),
        (["--update-baseline", "--max-drop", "int8=1"], "--update-baseline needs --baseline FILE"),
        ([], "no budget"),
    ],
)
def test_wrong_options_are_one_line(result: Path, options: list[str], says: str) -> None:
    answer = _gate(result, *options)
    assert (answer.code, answer.out) == (2, "")
    (line,) = answer.errors
    assert says in line
    assert list(result.parent.iterdir()) == [result]


def test_an_id_that_is_not_there_and_a_value_that_is_unknown_exit_with_2(result: Path) -> None:
    answer = _gate(result, "--max-size", "int4=6MB", "--min-int8-macs", "int8@npu=0.9")
    assert answer.code == 2
    assert [line.split(":")[0] for line in answer.out.splitlines()] == [
        "CANNOT TELL  int4",
        "CANNOT TELL  int8@npu",
    ]


def test_unlabelled_results_say_what_to_gate_on_instead(tmp_path: Path) -> None:
    nothing: dict[str, Any] = {"miou": None, "drop": None, "class_iou": {}}
    int8 = artifact_result("int8", agreement=98.0, fidelity_miou=91.0, **nothing)
    path = _write(tmp_path / "result.json", result_of(int8))
    answer = _gate(path, "--max-drop", "int8=1")
    assert answer.code == 2
    assert "the images have no labels; give --min-agreement or --min-fidelity" in answer.out
    assert _gate(path, "--min-agreement", "int8=98", "--min-fidelity", "int8=91").code == 0
    assert _gate(path, "--min-fidelity", "int8=91.1").code == 1


def test_json_has_the_numbers_behind_every_verdict(result: Path) -> None:
    answer = _gate(result, "--max-drop", "int8=0.5", "--json")
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
        "evidence": [],
    }


def _junit(answer: Answer, file: Path) -> dict[str | None, list[str]]:
    root = ET.parse(file).getroot()
    return {c.get("classname"): [child.tag for child in c] for c in root.iter("testcase")}


def test_junit_is_written_whatever_the_outcome(result: Path, tmp_path: Path) -> None:
    file = tmp_path / "new/gate.xml"
    answer = _gate(result, "--max-drop", "int8=0.5", "--junit", file)
    assert answer.code == 1
    assert _junit(answer, file) == {
        "net.squash.int8": ["system-out"],
        "net.squash.int8@npu": ["failure"],
    }
    (tmp_path / "file").write_text("")
    blocked = _gate(result, "--max-drop", "int8=5", "--junit", tmp_path / "file/x.xml")
    assert blocked.code == 2 and "cannot write" in blocked.errors[-1]


def test_github_gets_annotations_and_a_table(
    result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "summary.md"
    page.write_text("from an earlier step\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    budget = [result, "--max-drop", "int8=0.5"]
    assert "::error" not in _gate(*budget).out  # not on GitHub
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    answer = _gate(*budget)
    assert answer.code == 1
    assert answer.out.splitlines()[2:] == [
        "::error title=segport%3A net squash int8@npu max-drop::drop +3.000 exceeds 0.5",
        "::warning title=segport%3A net squash result evidence::unverified: no confusion.npz "
        "beside it; trusted",
    ]
    assert page.read_text().startswith("from an earlier step\n### segport gate: net, squash")
    assert "| drop +3.000 exceeds 0.5 " in page.read_text()

    document = _gate(*budget, "--json").json  # one document and nothing else
    assert document["exit_code"] == 1
    assert page.read_text().count("### segport gate") == 2
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    assert "GITHUB_STEP_SUMMARY" in _gate(*budget).errors[-1]
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    assert _gate(*budget).code == 1 and "GITHUB" not in _gate(*budget).err


def test_another_environment_is_a_warning_and_the_exit_code_stays(tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.json"
    before = _write(tmp_path / "before.json", result_of(lost("int8", 0.4)))
    assert (
        _gate(before, "--baseline", baseline, "--update-baseline", "--reason", "a test").code == 0
    )
    there = result_of().environment | {"isa": ["avx2", "avx512_vnni"], "threads": 8}
    now = _write(tmp_path / "now.json", result_of(lost("int8", 0.4), environment=there))
    answer = _gate(now, "--baseline", baseline)
    assert answer.code == 0
    assert "WARN" not in answer.out  # what is judged, and nothing else
    last, trusting = answer.errors
    assert trusting.startswith("WARN  result: unverified")
    assert last.startswith("WARN  environment: not that of baseline.json: ")
    assert "instruction sets avx2 -> avx2 avx512_vnni" in last and "threads 2 -> 8" in last


# ---- several results, and what else the command does


def _counted(folder: Path, missed: int, **changes: Any) -> Path:
    """A result with its counts: of 1000 cat pixels in each of 8 images int8 gets `missed` wrong."""
    right = np.stack([np.diag([3000 + index, 1000, 1000]) for index in range(8)])
    wrong = right.copy()
    wrong[:, 1, 1] -= missed
    wrong[:, 1, 2] += missed
    written(folder, {"fp32": right, "int8": wrong}, **changes)
    return folder / "result.json"


def test_many_results_are_one_table_and_the_worst_exit_code(tmp_path: Path) -> None:
    _counted(tmp_path / "a/squash", 10, name="a")
    _counted(tmp_path / "b/squash", 100, name="b")
    budget = ["--max-drop", "int8=2"]
    good = segport("gate", tmp_path / "a/squash", *budget)
    assert good.code == 0 and good.out.startswith("PASS  int8: drop")
    for named in (f"{tmp_path}/*/squash/result.json", tmp_path, f"{tmp_path}/**/squash"):
        answer = segport("gate", named, *budget)
        assert answer.code == 1
        assert [line.split()[:3] for line in answer.out.splitlines()[2:]] == [
            ["PASS", "a", "squash"],
            ["FAIL", "b", "squash"],
        ]
    own = segport("gate", tmp_path, "--max-drop", "int8=2", "--max-drop", "b/int8=10")
    assert own.code == 0
    typo = segport("gate", tmp_path, "--max-drop", "c/int8=2")
    assert typo.code == 2 and "no result is of the network 'c'; there: a, b" in typo.errors[0]
    odd = segport("gate", tmp_path / "a/**foo", *budget)
    assert odd.code == 2 and "not a valid file pattern" in odd.errors[0]
    none = segport("gate", tmp_path / "*/nothing/result.json", *budget)
    assert none.code == 2 and "no result.json there" in none.errors[0]


def test_artifacts_of_one_baseline_may_lie_in_several_results(tmp_path: Path) -> None:
    first, second = (_counted(tmp_path / name, 10, name=name) for name in ("a", "b"))
    baseline = tmp_path / "baseline.json"
    accept = ["--baseline", baseline, "--update-baseline", "--reason", "the first"]
    answer = segport("gate", first, second, *accept)
    assert (answer.code, answer.out.splitlines()[0]) == (0, f"{baseline}: 4 entries")
    assert segport("gate", first, second, "--baseline", baseline).code == 0
    assert segport("gate", first, "--baseline", baseline).code == 0  # b is another network


def test_an_update_needs_a_reason(tmp_path: Path) -> None:
    file, baseline = _counted(tmp_path / "a", 10), tmp_path / "baseline.json"
    answer = segport("gate", file, "--baseline", baseline, "--update-baseline")
    assert answer.code == 2 and "--reason" in answer.errors[0] and not baseline.exists()
    alone = segport("gate", file, "--baseline", baseline, "--reason", "x")
    assert alone.code == 2 and "go with --update-baseline" in alone.errors[0]


def test_the_evidence_of_a_failure_is_printed_under_it(tmp_path: Path) -> None:
    before, baseline = _counted(tmp_path / "a", 10), tmp_path / "baseline.json"
    accept = ["--baseline", baseline, "--update-baseline", "--reason", "the first"]
    segport("gate", before, *accept)
    answer = segport("gate", _counted(tmp_path / "b", 100), "--baseline", baseline)
    assert answer.code == 1
    lines = answer.out.splitlines()
    assert lines[1].startswith("FAIL  int8: mIoU ") and "cat -9.000" in lines[1]
    assert "      images: 8 got worse, 0 better, of 8 (sign test p = 0.0078)" in lines


@pytest.mark.slow
def test_a_plan_says_how_many_images_a_verdict_needs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    right = np.stack([np.diag([3000, 1000, 1000])] * 8)
    wrong = right.copy()
    moved = rng.integers(0, 200, 8)
    wrong[:, 1, 1] -= moved
    wrong[:, 1, 2] += moved
    written(tmp_path, {"fp32": right, "int8": wrong})
    answer = segport("gate", tmp_path, "--plan", "0.5")
    assert answer.code == 0 and "images for 0.5" in answer.out and "80 % power" in answer.out
    (plan,) = segport("gate", tmp_path, "--plan", "0.5", "--json").json
    assert plan["images"] == 8 and plan["needed"] > 8
    assert segport("gate", tmp_path, "--plan", "0").code == 2
    both = segport("gate", tmp_path, "--plan", "1", "--self-test")
    assert both.code == 2 and "give one of them" in both.errors[0]


@pytest.mark.slow
def test_the_self_test_shows_what_this_gate_catches(tmp_path: Path) -> None:
    file = _counted(tmp_path, 10)
    answer = segport("gate", file, "--self-test")
    assert answer.code == 0
    found = re.search(r"(\d+) of (\d+) losses beyond the tolerance are caught", answer.out)
    assert found and found[1] == found[2] != "0"


def test_files_that_are_shipped_must_be_those_that_were_judged(tmp_path: Path) -> None:
    file = _counted(tmp_path / "a", 10)
    (tmp_path / "ship").mkdir()
    answer = segport("gate", file, "--max-drop", "int8=5", "--artifacts", tmp_path / "ship")
    assert answer.code == 2 and "what is shipped was not judged" in answer.out
