"""A process that ends at once has still written and done everything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import atexit, sys, tempfile, weakref
from export.common.ending import end
{torch}
class Slow:
    def __del__(self): print("taken apart")
left = Slow()
atexit.register(lambda: print("done at the end"))
print("answer", end="")
print("progress", end="", file=sys.stderr)
end(3)
"""


def _ended(torch: str, **given: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CODE.format(torch=torch)]
    env = {**os.environ, "PYTHONUNBUFFERED": ""}
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, env=env, **given)


@pytest.mark.parametrize(
    ("torch", "after"), [("", "taken apart\n"), ("sys.modules['torch'] = sys", "")]
)
def test_all_is_written_and_done(torch: str, after: str) -> None:
    found = _ended(torch, stdout=subprocess.PIPE)
    assert found.returncode == 3
    assert found.stdout == "answerdone at the end\n" + after
    assert found.stderr == "progress"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /dev/full")
def test_output_that_is_lost_is_told_as_python_tells_it() -> None:
    with Path("/dev/full").open("w") as full:
        assert _ended("sys.modules['torch'] = sys", stdout=full.fileno()).returncode == 120
