"""Who wants what another process collects waits for it, and not for ever."""

import subprocess
import sys
from pathlib import Path

import pytest

from quantize.calibration.turns import turns

MINE, OTHER = "1f" * 32, "2f" * 32
_HOLD = """
import sys, time
from pathlib import Path
from quantize.calibration.turns import turns
with turns(Path(sys.argv[1]), [sys.argv[2]], print):
    print("in", flush=True)
    time.sleep(60)
"""


def test_a_turn_is_waited_for_and_ends_with_a_killed_process(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path / "cache"), MINE], stdout=subprocess.PIPE
    )
    waited = 0

    def waiting() -> None:
        nonlocal waited
        waited += 1
        if waited == 3:
            holder.kill()

    with holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"in\n"
        with turns(tmp_path / "cache", [OTHER], waiting):
            assert waited == 0  # what nobody else collects
        with turns(tmp_path / "cache", [MINE, OTHER], waiting):
            assert waited >= 3


def test_nobody_waits_where_nothing_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with turns(tmp_path / "file" / "cache", [MINE], lambda: pytest.fail("waits")):
        pass
