"""What libraries tell developers does not reach a user's terminal."""

import sys
from pathlib import Path

import numpy as np

from tests.segport.process import SCRIPT, process
from tests.validate.results import written

_SPEAK = """
import logging, warnings
from export.common.quiet import quiet_libraries
quiet_libraries()
warnings.warn("odd tag")
logging.getLogger("PIL").warning("odd tag")
"""
ROOT = Path(__file__).resolve().parents[2]


def test_a_home_that_cannot_be_written_is_not_talked_about(tmp_path: Path) -> None:
    """matplotlib looks for a folder of its settings and caches, and warns without one."""
    matrices = np.stack([np.diag([300, 200, 100])] * 2)
    written(tmp_path, {"fp32": matrices, "int8": matrices})
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    nowhere = "/dev/null/nowhere"
    done = process(
        SCRIPT, "report", tmp_path / "result.json", "-o", tmp_path / "out",
        HOME=nowhere, XDG_CONFIG_HOME=nowhere, XDG_CACHE_HOME=nowhere, TMPDIR=temporary,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out/report.html").exists()
    assert list(temporary.iterdir()) == []


def test_warnings_are_shown_to_those_who_ask_python_for_them() -> None:
    quiet = process(sys.executable, "-c", _SPEAK, PYTHONPATH=ROOT)
    asked = process(sys.executable, "-W", "always", "-c", _SPEAK, PYTHONPATH=ROOT)
    assert (quiet.returncode, quiet.stderr) == (0, "")
    assert "UserWarning: odd tag" in asked.stderr
