"""Whatever happens to a run: its files are whole, and the same command then finishes it alike.

`SEGPORT_FAULTS=50` tries that many moments of each kind instead of one, and more kinds.
"""

import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.job import Ended, Job, check_artifacts, contents, ended
from tests.small_disk import small_disk

pytestmark = pytest.mark.slow
TIMES = int(os.environ.get("SEGPORT_FAULTS", "1"))
LONG = pytest.mark.skipif(TIMES == 1, reason="make faults runs it")
Undisturbed = tuple[dict[str, bytes], float]
_CGROUPS = Path("/sys/fs/cgroup")
_EARLIEST = 0.15
"""Seconds: before it Python itself starts, and a signal is Python's affair."""


def _moments(seconds: float, kind: str) -> list[float]:
    rng = random.Random(kind)
    return [rng.uniform(_EARLIEST, seconds) for _ in range(TIMES)]


def _check_finish(job: Job, undisturbed: Undisturbed) -> None:
    """The same command finishes what is there, and nothing else is left."""
    check_artifacts(job.out)
    again = job.run()
    assert (again.code, again.errors) == (0, [])
    assert contents(job.out) == undisturbed[0]
    assert job.temporaries() == []


def test_kills(job: Job, undisturbed: Undisturbed) -> None:
    for number, moment in enumerate(_moments(undisturbed[1], "kill")):
        process = job.start()
        time.sleep(moment)
        os.killpg(process.pid, signal.SIGKILL)
        ended(process)
        check_artifacts(job.out)
        if number % 2 or TIMES == 1:
            _check_finish(job, undisturbed)
            shutil.rmtree(job.home)


@pytest.mark.parametrize(
    ("number", "code", "line"),
    [
        (signal.SIGINT, 130, "segport: interrupted"),
        (signal.SIGTERM, 143, "segport: terminated"),
    ],
)
def test_signals_end_it_in_one_line(
    job: Job, undisturbed: Undisturbed, number: int, code: int, line: str
) -> None:
    heard = 0
    for moment in _moments(undisturbed[1] * 0.6, line):
        process = job.start()
        time.sleep(moment)
        if process.poll() is None:
            os.killpg(process.pid, number)  # as a terminal does, to all of them
            assert ended(process) == Ended(code, [line]), moment
            heard += 1
        else:  # the machine had less to do than when the time of a run was taken
            assert ended(process) == Ended(0, []), moment
        assert job.temporaries() == [], moment
        check_artifacts(job.out)
        shutil.rmtree(job.home)
    assert heard > TIMES // 2


@pytest.mark.parametrize(
    ("size", "where", "code", "said"),
    [
        pytest.param("32k", "out", 2, "No space left on device; choose another folder", marks=LONG),
        ("100k", "tmpdir", 2, "TMPDIR chooses another folder"),
        # a cache that is full is none
        pytest.param("16k", "xdg_cache_home", 0, None, marks=LONG),
        pytest.param("100k", "out", 2, "No space left", marks=LONG),
        pytest.param("1k", "tmpdir", 2, "No space left", marks=LONG),
        pytest.param("1m", "out", 0, None, marks=LONG),
    ],
)
def test_a_full_disk(
    job: Job, undisturbed: Undisturbed, size: str, where: str, code: int, said: str | None
) -> None:
    with small_disk(job.home / where, size):
        first = job.run()
        assert first.code == code
        assert [line for line in first.errors if not (said and said in line)] == []
        assert len(first.errors) == (1 if said else 0)
        check_artifacts(job.out)
        assert job.temporaries() == []
    if code:
        _check_finish(job, undisturbed)


def test_no_file_may_grow(job: Job) -> None:
    first = job.run(prepare=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)))
    assert first.code == 2
    (line,) = first.errors
    assert line.startswith("segport: cannot write temporary files to")
    assert (list(job.out.glob("*")), job.temporaries()) == ([], [])


@pytest.mark.parametrize("megabytes", [100, pytest.param(600, marks=LONG)])
def test_little_memory(job: Job, megabytes: int) -> None:
    limit = megabytes << 20
    first = job.run(prepare=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
    assert first.code in (0, 2)
    assert len(first.errors) == (first.code == 2)
    assert all("memory" in line and "defect" not in line for line in first.errors)
    check_artifacts(job.out)


@contextmanager
def _container(megabytes: int) -> Iterator[Path]:
    """Make a control group that may have so much memory; skips where that is not allowed."""
    for root, limit in ((_CGROUPS / "memory", "memory.limit_in_bytes"), (_CGROUPS, "memory.max")):
        if not (root / "cgroup.procs").exists():
            continue
        group = root / f"segport-test-{os.getpid()}"
        try:
            group.mkdir()
            (group / limit).write_text(str(megabytes << 20))
        except OSError:
            continue
        try:
            yield group
        finally:
            group.rmdir()
        return
    pytest.skip("only root can limit a control group")


@pytest.mark.parametrize("megabytes", [150, 400])
@LONG
def test_a_container_with_little_memory(job: Job, undisturbed: Undisturbed, megabytes: int) -> None:
    """The kernel kills what takes more than a container has; nobody can say anything then."""
    with _container(megabytes) as group:
        first = job.run(prepare=lambda: (group / "cgroup.procs").write_text(str(os.getpid())))
    assert first.code in (0, 2, -signal.SIGKILL)
    assert len(first.errors) == (first.code == 2)
    _check_finish(job, undisturbed)


@LONG
def test_a_folder_that_vanishes(job: Job, undisturbed: Undisturbed) -> None:
    for moment in _moments(undisturbed[1], "vanish"):
        process = job.start()
        time.sleep(moment)
        shutil.rmtree(job.out, ignore_errors=True)
        first = ended(process)
        assert first.code in (0, 2)
        assert len(first.errors) == (first.code == 2)
        assert not any("defect" in line for line in first.errors)
        check_artifacts(job.out)
    _check_finish(job, undisturbed)


def test_a_folder_that_is_read_only(job: Job) -> None:
    job.out.mkdir(parents=True)
    with small_disk(job.out / "disk", "1m") as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        first = job.run(disk / "out")
    assert first.code == 2
    (line,) = first.errors
    assert "Read-only file system; choose another folder with -o" in line


@pytest.mark.parametrize("runs", [2, pytest.param(4, marks=LONG)])
def test_runs_at_once_into_one_folder_and_one_cache(
    job: Job, undisturbed: Undisturbed, runs: int
) -> None:
    other = job.home / "other"
    same, beside = [job.start() for _ in range(runs)], job.start(other)
    results = [ended(process) for process in same]
    assert ended(beside) == Ended(0, [])
    assert contents(other) == undisturbed[0]
    assert sorted(result.code for result in results)[0] == 0
    for result in results:
        assert result.code in (0, 2)
        assert all("another run writes to it" in line for line in result.errors)
    _check_finish(job, undisturbed)


@pytest.mark.parametrize(
    "change",
    [
        lambda e: [e.pop(name) for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME")],
        lambda e: e.pop("TMPDIR"),
        pytest.param(lambda e: e.update(HOME="/dev/null"), marks=LONG),
        pytest.param(lambda e: e.update(TMPDIR="/nowhere"), marks=LONG),
        pytest.param(lambda e: e.update(LC_ALL="C", PYTHONUTF8="0"), marks=LONG),
    ],
)
@LONG
def test_an_environment_with_gaps(
    job: Job, undisturbed: Undisturbed, change: Callable[[dict[str, str]], object]
) -> None:
    environment = job.environment()
    change(environment)
    first = job.run(environment=environment)
    assert (first.code, first.errors) == (0, [])
    assert contents(job.out) == undisturbed[0]


@LONG
def test_a_clock_that_went_back(job: Job, undisturbed: Undisturbed) -> None:
    """All that an earlier run wrote is of the future; contents decide, not dates."""
    assert job.run().code == 0
    future = time.time() + 1e6
    for path in job.home.rglob("*"):
        os.utime(path, (future, future))
    weights = (job.out / "net-int8.onnx").read_bytes()
    (job.out / "net-int8.onnx").write_bytes(weights + b" ")
    os.utime(job.out / "net-int8.onnx", (future, future))
    again = job.run()
    assert (again.code, again.errors) == (0, [])
    assert contents(job.out) == undisturbed[0]
