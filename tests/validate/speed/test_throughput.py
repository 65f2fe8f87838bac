import os
import time

import numpy as np
import pytest

from export.common.errors import UsageError
from tests.validate.fakes import FakeEngine, logits_of
from validate.runtime.runtimes import Runtime
from validate.speed.cpus import CAN_PIN, Pinning
from validate.speed.latency import WARM_UP
from validate.speed.throughput import measure_throughput, shares

IMAGE = np.zeros((1, 3, 2, 2), np.float32)
ANSWER = logits_of([[0, 1], [1, 0]], 2)
NAP = 0.02


def test_shares_are_equal_and_disjoint() -> None:
    assert shares(Pinning(4, (0, 2, 1, 3)), 2) == [(0, 2), (1, 3)]
    assert shares(Pinning(4, (4, 5, 6, 7)), 4) == [(4,), (5,), (6,), (7,)]
    assert shares(Pinning(5, (0, 1, 2, 3, 4)), 2) == [(0, 1), (2, 3)]


def test_more_sessions_than_threads_are_refused() -> None:
    with pytest.raises(UsageError, match=r"--parallel 3: more sessions than threads \(2\)"):
        shares(Pinning(2, (0, 1)), 3)
    with pytest.raises(UsageError, match="leave it out"):
        shares(Pinning(2, None), 2)


needs_pinning = pytest.mark.skipif(not CAN_PIN, reason="this OS has no sched_setaffinity")


@needs_pinning
@pytest.mark.parametrize("sessions", [1, 4])
def test_sessions_share_the_runs_and_work_at_once(sessions: int) -> None:
    calls: list[int] = []
    opened: list[set[int]] = []
    cpus = sorted(os.sched_getaffinity(0))

    def nap() -> None:
        calls.append(1)
        time.sleep(NAP)

    def open_one() -> Runtime:
        opened.append(os.sched_getaffinity(0))
        return Runtime("fake", "", FakeEngine(ANSWER, called=nap))

    split = [(cpus[at % len(cpus)],) for at in range(sessions)]
    before = os.sched_getaffinity(0)
    found = measure_throughput(open_one, IMAGE, split, runs=20)
    assert len(calls) == 20 + sessions * WARM_UP
    assert sorted(map(tuple, opened)) == sorted(split)
    assert os.sched_getaffinity(0) == before
    assert (found.sessions, found.threads) == (sessions, 1)
    # a session naps 20 ms per image, so it cannot do more than 50 a second
    assert found.images_per_s <= 50 * sessions
    if sessions > 1:
        assert found.images_per_s > 50


@needs_pinning
def test_a_batch_counts_as_its_images() -> None:
    cpus = [tuple(os.sched_getaffinity(0))]

    def open_one() -> Runtime:
        return Runtime("fake", "", FakeEngine(ANSWER, called=lambda: time.sleep(NAP)))

    found = measure_throughput(open_one, IMAGE, cpus, runs=5, batch=8)
    assert 50 < found.images_per_s <= 8 * 50


@needs_pinning
def test_a_session_that_fails_ends_the_measurement() -> None:
    cpus = sorted(os.sched_getaffinity(0))
    count = iter(range(2))

    def open_one() -> Runtime:
        if next(count) == 1:
            raise UsageError("no second one")
        return Runtime("fake", "", FakeEngine(ANSWER))

    with pytest.raises(UsageError, match="no second one"):
        measure_throughput(open_one, IMAGE, [(cpus[0],), (cpus[-1],)], runs=4)
