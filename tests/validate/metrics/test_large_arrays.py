"""Arrays block by block, and those that lie in files."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from export.common.errors import ArtifactError
from validate.metrics import large_arrays
from validate.metrics.large_arrays import by_rows, scratch_array

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 11])
def test_every_row_is_looked_at_once_in_its_place(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_arrays, "BLOCK", 4)
    one, other = np.arange(rows * 2).reshape(rows, 2), np.arange(rows) % 3
    asked = []

    def function(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        asked.append(len(left))
        return (left.T * right).T.sum(1) > 5

    found = by_rows(function, one, other)
    expected = [(4 * row + 1) * (row % 3) > 5 for row in range(rows)]
    assert found.tolist() == expected and found.dtype == bool
    assert sum(asked) == rows and max(asked) <= 4


def test_a_large_array_takes_no_memory_and_leaves_no_file(tmp_path: Path) -> None:
    script = (
        "import numpy as np\n"
        "from pathlib import Path\n"
        "from validate.metrics.large_arrays import scratch_array\n"
        "array = scratch_array((50, 1_000_000), np.float64)\n"
        "array[:] = np.arange(50)[:, None]\n"
        "status = Path('/proc/self/status').read_text().split()\n"
        "print(status[status.index('RssAnon:') + 1], int(array[:, -1].sum()))\n"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    memory, total = map(int, done.stdout.split())
    assert memory < 100_000 and total == 1225  # kB, of 400 MB
    assert list(tmp_path.iterdir()) == []


def test_no_room_is_an_error_before_anything_is_written(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        with pytest.raises(ArtifactError, match=r"files to /.*: .*; TMPDIR chooses another folder"):
            scratch_array((1 << 23,), np.float64)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
