"""A sweep of a space from its file to its rows."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from segport.sweep import rounds
from segport.sweep.choosing import Costs, Sampler
from tests.segport.command import Answer, segport

SPACE = """
name = "fleet"
[data]
calibration = "{root}:train"
samples = 4
validation = "{root}:val"
[network.tiny]
name = "tests.networks:coarse"
weights = "default"
size = [33, 33]
[space]
trials = {trials}
batch = 2
seed = 3
precision = ["int8", "fp16"]
range = ["minmax", {{ rule = "percentile", min = 99.0, max = 99.999 }}]
keep_float = [[], ["no_such_layer*"]]
min_self_agreement = [20]
"""
MEASURED = ("latency_ms", "latency_ratio", "frontier", "file", "command")


def _plan(folder: Path, root: Path, trials: int) -> Path:
    file = folder / "sweep.toml"
    file.write_text(SPACE.format(root=root, trials=trials))
    return file


def _rows(answer: Answer) -> list[dict[str, Any]]:
    """All rows without what is measured, and where files lie."""
    rows = answer.json["rows"]
    return [{key: row[key] for key in row if key not in MEASURED} for row in rows]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory, voc: Path) -> Path:
    return _plan(tmp_path_factory.mktemp("space"), voc, 4)


@pytest.fixture(scope="module")
def swept(plan: Path) -> Answer:
    return segport("sweep", plan, "-o", plan.parent / "out", "--json")


def test_every_trial_is_a_row_and_failed_ones_stop_nothing(swept: Answer) -> None:
    assert swept.code == 0
    rows = swept.json["rows"]
    assert len(rows) == len({row["cell"] for row in rows}) == 4
    failed = [row for row in rows if row["error"]]
    assert {bool(row["error"]) for row in rows} == {True, False}
    assert all("no_such_layer" in row["error"] for row in failed)
    for row in rows:
        if row["error"] is None:
            assert row["latency_ms"] > 0 and row["size_ratio"] > 0
    assert any(row["frontier"] for row in rows)


def test_more_trials_go_on_where_fewer_ended(
    plan: Path, voc: Path, swept: Answer, tmp_path: Path
) -> None:
    more = segport("sweep", _plan(tmp_path, voc, 6), "-o", plan.parent / "out", "--json")
    assert len(_rows(more)) == 6
    assert _rows(more)[:4] == _rows(swept)
    for row in swept.json["rows"]:
        if row["error"] is None:
            assert f"tiny: {row['cell']}: reused, nothing changed" in more.err
    assert "tiny: judge 1: reused, nothing changed" in more.err
