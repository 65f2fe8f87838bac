"""Cells made by workers are those made here, whatever happens to workers."""

from pathlib import Path
from typing import Any

import pytest

from export.common.files import sha256_of
from tests.segport.command import Answer, segport
from tests.segport.sweep.faulty_cells import CELL, NOTES, TIMES, FaultyWork

GRID = """
name = "fleet"
[data]
calibration = "{root}:train"
samples = 4
validation = "{root}:val"
[network.tiny]
name = "tests.networks:tiny"
weights = "default"
size = [65, 65]
[grid]
precision = ["int8"]
range = ["minmax", "mse"]
keep_float = [[], ["no_such_layer*"]]
"""
MEASURED = ("latency_ms", "latency_ratio", "frontier", "file", "command")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory, voc: Path) -> Path:
    file = tmp_path_factory.mktemp("sweep") / "sweep.toml"
    file.write_text(GRID.format(root=voc))
    return file


@pytest.fixture(scope="module")
def serial(plan: Path) -> Answer:
    return segport("sweep", plan, "-o", plan.parent / "serial", "--json")


def _by_two(plan: Path, out: Path) -> Answer:
    return segport("sweep", plan, "-o", out, "--json", "--engine", "processes", "--workers", 2)


def _rows(answer: Answer) -> list[dict[str, Any]]:
    """All rows without what is measured, and where files lie."""
    rows = answer.json["rows"]
    return [{key: row[key] for key in row if key not in MEASURED} for row in rows]


def _files(out: Path) -> dict[str, str]:
    """The digest of every network and manifest."""
    files = [path for kind in ("*.onnx", "*.json") for path in (out / "tiny").glob(f"*/{kind}")]
    return {path.relative_to(out).as_posix(): sha256_of(path) for path in files}


@pytest.fixture
def fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr("segport.sweep.making.CellWork", FaultyWork)
    monkeypatch.setenv(CELL, "mse")
    monkeypatch.setenv(NOTES, str(tmp_path))
    monkeypatch.setenv(TIMES, "1")
    return monkeypatch


def test_a_killed_worker_loses_its_cell_and_another_makes_the_same_bytes(
    plan: Path, serial: Answer, fault: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answer = _by_two(plan, tmp_path / "out")
    assert _rows(answer) == _rows(serial)
    assert len(_files(tmp_path / "out")) == 4  # two cells fail
    assert _files(tmp_path / "out") == _files(plan.parent / "serial")
    (line,) = [line for line in answer.err.splitlines() if "another takes over" in line]
    assert "tiny: mse (killed by signal 9)" in line


def test_a_cell_that_ends_every_worker_has_failed_and_is_made_by_the_next_run(
    plan: Path, serial: Answer, fault: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fault.setenv(TIMES, "3")
    answer = _by_two(plan, tmp_path / "out")
    errors = {row["cell"]: row["error"] for row in answer.json["rows"]}
    assert answer.code == 0 and errors["minmax"] is None
    assert "tiny: mse: 3 workers ended at it (killed by signal 9)" in errors["mse"]
    again = _by_two(plan, tmp_path / "out")
    assert "tiny: minmax: reused, nothing changed" in again.err
    assert _rows(again) == _rows(serial)
