"""Cells made by workers are those made here, whatever happens to workers."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from export.common.files import sha256_of
from segport.stages import RECORD_FILE
from tests.cluster import ROOT
from tests.segport.command import Answer, segport
from tests.segport.sweep.faulty_cells import CELL, HOW, NOTES, TIMES, FaultyWork

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


def _sweep(plan: Path, out: Path, by_two: list[object]) -> Answer:
    return segport("sweep", plan, "-o", out, "--json", *by_two)


def _rows(answer: Answer) -> list[dict[str, Any]]:
    """All rows without what is measured, and where files lie."""
    rows = answer.json["rows"]
    return [{key: row[key] for key in row if key not in MEASURED} for row in rows]


def _files(out: Path) -> dict[str, str]:
    """The digest of every network and manifest."""
    files = [path for kind in ("*.onnx", "*.json") for path in (out / "tiny").glob(f"*/{kind}")]
    return {path.relative_to(out).as_posix(): sha256_of(path) for path in files}


def _begun(notes: Path, cell: str) -> int:
    """How often a worker began a cell."""
    return len(list(notes.glob(f"begun-{cell}-[0-9]*")))


def _finished(record: Path, stage: str) -> bool:
    return record.exists() and f'"{stage}"' in record.read_text()


@pytest.fixture
def fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr("segport.sweep.making.CellWork", FaultyWork)
    told = {CELL: "mse", NOTES: str(tmp_path), TIMES: "1", HOW: "kill"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_a_killed_worker_loses_its_cell_and_another_makes_the_same_bytes(
    plan: Path, serial: Answer, fault: pytest.MonkeyPatch, tmp_path: Path, by_two: list[object]
) -> None:
    answer = _sweep(plan, tmp_path / "out", by_two)
    assert _rows(answer) == _rows(serial)
    assert sum("no_such_layer" in (row["error"] or "") for row in _rows(answer)) == 2
    assert len(_files(tmp_path / "out")) == 4
    assert _files(tmp_path / "out") == _files(plan.parent / "serial")
    (line,) = [line for line in answer.err.splitlines() if "another takes over" in line]
    assert "tiny: mse (killed" in line
    assert _begun(tmp_path, "mse") == 2


def test_a_cell_that_ends_every_worker_has_failed_and_is_made_by_the_next_run(
    plan: Path, serial: Answer, fault: pytest.MonkeyPatch, tmp_path: Path, by_two: list[object]
) -> None:
    fault.setenv(TIMES, "3")
    answer = _sweep(plan, tmp_path / "out", by_two)
    errors = {row["cell"]: row["error"] for row in answer.json["rows"]}
    assert answer.code == 0 and errors["minmax"] is None
    assert "tiny: mse: 3 workers ended at it (killed" in errors["mse"]
    again = _sweep(plan, tmp_path / "out", by_two)
    assert "tiny: minmax: reused, nothing changed" in again.err
    assert _rows(again) == _rows(serial)


def test_a_driver_that_is_killed_goes_on_with_the_cells_that_are_left(
    plan: Path, serial: Answer, fault: pytest.MonkeyPatch, tmp_path: Path, by_two: list[object]
) -> None:
    fault.setenv(HOW, "hang")
    out = tmp_path / "out"
    words = [str(word) for word in ("sweep", plan, "-o", out, *by_two)]
    driver = subprocess.Popen(
        [sys.executable, "-m", "tests.segport.sweep.driver", *words],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    record = out / "tiny" / RECORD_FILE
    try:
        end = time.monotonic() + 300
        while not ((tmp_path / "fault-0").exists() and _finished(record, "tiny: minmax")):
            assert driver.poll() is None and time.monotonic() < end
            time.sleep(0.05)
    finally:
        driver.kill()
        driver.wait()
    assert not (out / "sweep.json").exists()
    again = _sweep(plan, out, by_two)
    assert "tiny: minmax: reused, nothing changed" in again.err
    assert (_begun(tmp_path, "minmax"), _begun(tmp_path, "mse")) == (1, 2)
    assert _rows(again) == _rows(serial)
    assert _files(out) == _files(plan.parent / "serial")
