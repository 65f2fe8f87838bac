"""Progress that other programs read."""

import json
from pathlib import Path

import pytest

from export.artifact.artifact import Artifact
from segport.json_lines import JsonLines
from tests.segport.command import segport


def test_speed_and_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 0.5, 10.0, 10.1, 20.0])
    lines = JsonLines(lambda: next(times))
    for done in (100, 110, 200, 201, 300):  # 100 are an earlier run's
        lines("validate", done, 300)
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["done"] for line in said] == [100, 200, 300]
    assert [line["per_second"] for line in said] == [None, 10.0, 10.0]
    assert [line["left"] for line in said] == [None, 10.0, 0.0]


def test_a_command_says_nothing_else_on_standard_error(
    tiny: Artifact, voc: Path, tmp_path: Path
) -> None:
    words = ("validate", tiny.path, "--data", voc, "-o", tmp_path, "--engine", "local")
    answer = segport("--json-lines", *words)
    assert answer.code == 0
    said = [json.loads(line) for line in answer.err.splitlines()]
    counted = [line for line in said if line.get("stage") == "validate"]
    assert (counted[0]["done"], counted[-1]["done"], counted[-1]["total"]) == (0, 4, 4)
    assert "stage" not in segport(*words).err  # the next command is for people again
