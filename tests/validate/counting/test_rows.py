"""Counts that wait in a file take no memory, and leave nothing behind."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from export.common.errors import ArtifactError
from validate.counting.rows import Rows

ROOT = Path(__file__).resolve().parents[3]


def test_rows_are_what_was_put_in() -> None:
    rng = np.random.default_rng(0)
    wanted = rng.integers(0, 2**40, (50, 7, 7))
    rows = Rows()
    assert rows.array() is None
    for number, row in enumerate(wanted):
        rows.append(row.T.copy().T if number % 2 else row)  # any order in memory
        if number == 20:  # looked at in between
            assert np.array_equal(rows.array(), wanted[:21])  # type: ignore[arg-type]
    found = rows.array()
    del rows
    assert found is not None and np.array_equal(found, wanted)
    assert found.sum(0).tolist() == wanted.sum(0).tolist()


def test_they_take_no_memory(tmp_path: Path) -> None:
    """200 MB of them, in a process that may not have as much."""
    script = (
        "import numpy as np, resource\n"
        "from validate.counting.rows import Rows\n"
        "rows, row = Rows(), np.ones((500, 500), np.int64)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for _ in range(100): rows.append(row)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert int(found.stdout) < 20_000  # kB
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    rows, limits = Rows(), resource.getrlimit(resource.RLIMIT_FSIZE)
    row = np.ones((10, 10), np.int64)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        rows.append(row)
        with pytest.raises(ArtifactError, match=r"files to /.*: .*; TMPDIR chooses another folder"):
            rows.append(row)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert np.array_equal(rows.array(), [row])  # type: ignore[arg-type]


def test_a_folder_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    with pytest.raises(ArtifactError, match="files to /nowhere: No such file"):
        Rows().append(np.ones(3, np.int64))
