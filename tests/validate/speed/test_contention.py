import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from validate.speed import contention
from validate.speed.contention import Snapshot, disturbed, taken_by_others
from validate.speed.cpus import pinned

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="read from /proc/stat")
TICK = os.sysconf("SC_CLK_TCK")


def _line(name: str, **seconds: float) -> str:
    columns = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest")
    return " ".join([name, *(str(round(seconds.get(c, 0) * TICK)) for c in columns), "0"])


def test_what_is_neither_idle_nor_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = tmp_path / "stat"
    monkeypatch.setattr(contention, "_STAT", stat)
    own = os.times()
    stat.write_text(
        "\n".join(
            [
                _line("cpu", user=99, idle=99),
                _line("cpu0", user=1, nice=2, system=3, irq=4, softirq=5, steal=6, guest=1),
                _line("cpu1", idle=50, iowait=50, user=7),
                _line("cpu10", user=1000),
                "intr 5",
            ]
        )
    )
    found = Snapshot.take((0, 1))
    assert found is not None and found.busy == pytest.approx(1 + 2 + 3 + 4 + 5 + 6 + 7)
    assert found.own >= own.user + own.system
    # 2 seconds later: 3 CPU seconds were busy, 2 of them ours, of 4 that there were
    before = Snapshot(wall=0, busy=found.busy - 3, own=10)
    after = Snapshot(wall=2, busy=found.busy, own=12)
    monkeypatch.setattr(Snapshot, "take", lambda cpus: after)
    assert taken_by_others((0, 1), before) == 25.0


def test_a_busy_neighbour_is_seen() -> None:
    with pinned(1) as pinning:
        neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            time.sleep(0.3)
            before = Snapshot.take(pinning.cpus)
            time.sleep(1)  # we do nothing, it takes the CPU
            assert (taken_by_others(pinning.cpus, before) or 0) > 50
        finally:
            neighbour.kill()
            neighbour.wait()


def test_unknown_where_the_os_does_not_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Snapshot.take(None) is None
    monkeypatch.setattr(contention, "_STAT", tmp_path / "none")
    assert Snapshot.take((0,)) is None
    assert taken_by_others((0,), None) is None


def test_a_disturbed_measurement_is_said() -> None:
    assert disturbed(None) == disturbed(0.9) == []
    (line,) = disturbed(31.4)
    assert line.startswith("warning: others took 31 % of these CPUs")
