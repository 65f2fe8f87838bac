"""Drivers and machines that go away in the middle: the same command goes on."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from export.common.errors import ArtifactError
from export.workers.engines import Workers
from tests.cluster import ROOT, end, head, node
from tests.small_disk import small_disk
from tests.validate.counting.counts import Said, counted
from tests.validate.counting.faulty import FaultyJob
from validate.counting.job import Job
from validate.counting.kept import FOLDER
from validate.counting.sharded import count
from validate.data.items import Dataset

_SECONDS = 150.0


def _await(what: Callable[[], bool]) -> None:
    begun = time.monotonic()
    while not what():
        assert time.monotonic() - begun < _SECONDS
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_a_driver_that_is_killed_goes_on(
    job: Job, dataset: Dataset, wanted: str, tmp_path: Path, two: Workers
) -> None:
    slow = FaultyJob.of(job, tmp_path / "notes", slow=0.1)
    arguments = tmp_path / "arguments"
    arguments.write_bytes(pickle.dumps((slow, dataset, tmp_path, two)))
    driver = subprocess.Popen(
        [sys.executable, "-m", "tests.validate.counting.driver", str(arguments)], cwd=ROOT
    )
    _await(lambda: bool(list((tmp_path / FOLDER).glob("*.npz"))))
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    pids = {int(path.name.split("-")[2]) for path in slow.notes.glob("counted-*")}
    _await(lambda: not any(map(_alive, pids)))
    digest, said = counted(job, dataset, tmp_path, two)
    assert digest == wanted
    (line,) = [line for line in said.lines if "earlier run" in line]
    assert line.startswith(("8 of", "16 of", "24 of", "32 of"))


def test_a_full_disk_is_named_and_loses_nothing(
    job: Job, dataset: Dataset, wanted: str, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", "12k") as disk:
        with pytest.raises(ArtifactError, match=r"No space left on device.*the same command"):
            count(job, dataset, disk, Workers("local"), Said())
        kept = len(list((disk / FOLDER).glob("*.npz")))
        assert kept in (1, 2)
        subprocess.run(["mount", "-o", "remount,size=1m", str(disk)], check=True)
        digest, said = counted(job, dataset, disk, Workers("local"))
    assert digest == wanted
    assert said.done[0] == 16 * kept


def test_a_worker_without_room_is_named(
    job: Job, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", "4k") as disk:
        monkeypatch.setenv("TMPDIR", str(disk))
        with pytest.raises(ArtifactError, match=f"temporary files to {disk}: No space left"):
            count(job, dataset, tmp_path, Workers("processes", 2), Said())


@pytest.mark.slow
def test_a_machine_that_is_lost(job: Job, dataset: Dataset, wanted: str, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    slow = FaultyJob.of(job, tmp_path / "notes", slow=0.2)
    with head(cpus=1) as address:
        options = (f"--address={address}", "--num-cpus=1", "--node-ip-address=127.0.0.2")
        with node(*options) as second:
            arguments = tmp_path / "arguments"
            workers = Workers("ray", 2, address=address)
            arguments.write_bytes(pickle.dumps((slow, dataset, tmp_path, workers)))
            driver = subprocess.Popen(
                [sys.executable, "-m", "tests.validate.counting.driver", str(arguments)], cwd=ROOT
            )
            _await(lambda: len(list(slow.notes.glob("counted-*"))) == 2)
            end(second)
            assert driver.wait(150) == 0
    digest, said = counted(job, dataset, tmp_path, Workers("local"))
    assert (digest, said.done) == (wanted, [40])


@pytest.mark.slow
def test_a_machine_without_room_is_named(
    job: Job, dataset: Dataset, wanted: str, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    with small_disk(tmp_path / "disk", "4k") as disk, head(cpus=0) as address:
        options = (f"--address={address}", "--num-cpus=1", "--node-ip-address=127.0.0.2")
        full = pytest.raises(ArtifactError, match=f"temporary files to {disk}: No space left")
        with node(*options, TMPDIR=str(disk), RAY_TMPDIR="/tmp"), full:
            count(job, dataset, tmp_path, Workers("ray", 1, address=address), Said())
    digest, _ = counted(job, dataset, tmp_path, Workers("local"))
    assert digest == wanted
