import os
import subprocess
import sys
from pathlib import Path

import pytest

from export.common.errors import UsageError
from export.ort.sessions import threads
from validate.speed import cpus
from validate.speed.cpus import CAN_PIN, Pinning, cores_first, pinned

pytestmark = pytest.mark.skipif(not CAN_PIN, reason="this OS has no sched_setaffinity")


def test_sessions_and_processes_are_held_on_one_cpu_and_then_let_go() -> None:
    before = os.sched_getaffinity(0)
    code = "import os; print(*os.sched_getaffinity(0))"
    with pinned(1) as pinning:
        assert pinning.threads == threads() == 1
        (cpu,) = pinning.cpus or ()
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        assert child.stdout.split() == [str(cpu).encode()] and cpu in before
    assert os.sched_getaffinity(0) == before


def test_all_cpus_by_default() -> None:
    usable = os.sched_getaffinity(0)
    with pinned() as pinning:
        assert set(pinning.cpus or ()) == usable and pinning.threads == len(usable)


def test_they_are_let_go_after_an_error_too() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(ZeroDivisionError), pinned(1):
        raise ZeroDivisionError
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize("count", [0, -1, 100_000])
def test_more_threads_than_cpus_are_refused(count: int) -> None:
    usable = len(os.sched_getaffinity(0))
    with (
        pytest.raises(UsageError, match=rf"--threads {count}: .* may use {usable} CPUs"),
        pinned(count),
    ):
        pass


def test_an_os_without_pinning_counts_threads_and_refuses_a_choice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cpus, "CAN_PIN", False)
    with pinned() as pinning:
        assert pinning == Pinning(threads(), None)
    with pytest.raises(UsageError, match="leave it out"), pinned(1):
        pass


@pytest.mark.parametrize(
    ("siblings", "expected"),
    [
        # cores 0-3 and their second threads 4-7, as on many desktops
        ({cpu: f"{cpu % 4},{cpu % 4 + 4}" for cpu in range(8)}, [0, 1, 2, 3, 4, 5, 6, 7]),
        # threads of a core side by side, as on many servers and clouds
        ({cpu: f"{cpu // 2 * 2}-{cpu // 2 * 2 + 1}" for cpu in range(6)}, [0, 2, 4, 1, 3, 5]),
        # no hyperthreads
        ({0: "0", 1: "1", 2: "2"}, [0, 1, 2]),
    ],
)
def test_physical_cores_come_before_hyperthreads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, siblings: dict[int, str], expected: list[int]
) -> None:
    for cpu, text in siblings.items():
        (tmp_path / str(cpu)).write_text(f"{text}\n")
    monkeypatch.setattr(cpus, "_SIBLINGS", f"{tmp_path}/{{}}")
    assert cores_first(set(siblings)) == expected


def test_without_topology_cpus_are_taken_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpus, "_SIBLINGS", f"{tmp_path}/{{}}")
    assert cores_first({3, 1, 2}) == [1, 2, 3]
