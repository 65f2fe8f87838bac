"""A sweep of a space from its file to its rows, whoever makes them and however often it ends."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from export.artifact.artifact import Artifact
from tests.segport.command import Answer, segport
from tests.segport.process import SCRIPT

SPACE = """
name = "fleet"
[data]
calibration = "{voc}:train"
samples = 4
validation = "{voc}:val"
[network.net]
onnx = "{onnx}"
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
[space]
trials = 4
batch = 2
seed = 1
precision = ["int8", "fp16"]
range = ["minmax", {{ rule = "percentile", min = 99.0, max = 99.999 }}]
keep_float = [[], ["no_such_layer*"]]
min_self_agreement = [20]
"""
MEASURED = ("latency_ms", "latency_ratio", "frontier", "file", "command")
SECONDS = 240
"""A sweep that takes longer hangs."""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory, voc: Path, tiny: Artifact) -> Path:
    file = tmp_path_factory.mktemp("space") / "sweep.toml"
    file.write_text(SPACE.format(voc=voc, onnx=tiny.path))
    return file


@pytest.fixture(scope="module")
def swept(plan: Path) -> Answer:
    return segport("sweep", plan, "-o", plan.parent / "out", "--json")


def _rows(answer: Answer) -> list[dict[str, Any]]:
    """All rows without what is measured, and where files lie."""
    rows = answer.json["rows"]
    return [{key: row[key] for key in row if key not in MEASURED} for row in rows]


def _made(answer: Answer) -> list[str]:
    return [row["cell"] for row in answer.json["rows"] if row["error"] is None]


def test_every_trial_is_a_row_and_failed_ones_stop_nothing(swept: Answer) -> None:
    assert swept.code == 0
    rows = swept.json["rows"]
    assert len({row["cell"] for row in rows}) == 4
    good, failed = ([row for row in rows if bool(row["error"]) == bad] for bad in (False, True))
    assert good and failed
    assert all("no_such_layer" in row["error"] for row in failed)
    assert all(row["latency_ms"] > 0 and row["size_ratio"] > 0 for row in good)
    assert any(row["frontier"] for row in good)


def test_more_trials_go_on_where_fewer_ended(plan: Path, swept: Answer) -> None:
    more = plan.with_name("more.toml")
    more.write_text(plan.read_text().replace("trials = 4", "trials = 5"))
    answer = segport("sweep", more, "-o", plan.parent / "out", "--json")
    assert len(_rows(answer)) == 5
    assert _rows(answer)[:4] == _rows(swept)
    for stage in (*_made(swept), "judge 1", "judge 2"):
        assert f"net: {stage}: reused, nothing changed" in answer.err


@pytest.mark.slow
def test_workers_make_the_same_cells(
    plan: Path, swept: Answer, tmp_path: Path, by_two: list[object]
) -> None:
    answer = segport("sweep", plan, "-o", tmp_path / "out", "--json", *by_two)
    assert _rows(answer) == _rows(swept)


@pytest.mark.slow
def test_a_killed_sweep_goes_on_with_the_same_cells(
    plan: Path, swept: Answer, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    driver = subprocess.Popen([SCRIPT, "sweep", plan, "-o", out], stderr=subprocess.DEVNULL)
    end, record = time.monotonic() + SECONDS, out / "net/.segport-stages.json"
    while not record.exists() or "net: judge 1" not in record.read_text():
        assert driver.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert not (out / "sweep.json").exists()
    answer = segport("sweep", plan, "-o", out, "--json")
    assert _rows(answer) == _rows(swept)
    first = [name for name in _made(swept) if name in [row["cell"] for row in _rows(swept)[:2]]]
    for stage in (*first, "judge 1"):
        assert f"net: {stage}: reused, nothing changed" in answer.err
