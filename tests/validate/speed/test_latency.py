import time

import numpy as np
import pytest

from tests.validate.fakes import FakeEngine, Outputs, logits_of
from validate.runtime.engine import Runtime
from validate.speed.latency import (
    LEAST,
    ROUNDS,
    SECONDS,
    WARM_UP,
    Spread,
    measure_latency,
    spread,
    take_turns,
)

IMAGE = np.zeros((1, 3, 2, 2), np.float32)
pytestmark = pytest.mark.processes  # and as many rounds

ANSWER = logits_of([[0, 1], [1, 0]], 2)


class _Clock:
    """Time passes only where a test says so, in seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class _Slow(FakeEngine):
    """Takes `first` seconds in each of the first `calls` calls and `later` in all others."""

    def __init__(self, clock: _Clock, calls: int, first: float, later: float) -> None:
        super().__init__(ANSWER)
        self._clock, self._times = clock, [first] * calls
        self._later = later

    def outputs(self, image: np.ndarray) -> Outputs:
        self._clock.now += self._times.pop() if self._times else self._later
        return super().outputs(image)


def test_runs_take_turns() -> None:
    order: list[str] = []
    runtimes = {
        key: Runtime(key, "", FakeEngine(ANSWER, called=lambda key=key: order.append(key)))
        for key in ("a", "b", "c")
    }
    measure_latency(runtimes, IMAGE)
    assert order == ["a", "b", "c"] * (WARM_UP + ROUNDS)


def test_warm_up_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    engines = {"a": _Slow(clock, WARM_UP, 9.0, 0.010), "b": _Slow(clock, WARM_UP, 5.0, 0.020)}
    found = measure_latency({key: Runtime(key, "", e) for key, e in engines.items()}, IMAGE)
    assert WARM_UP >= 1
    for key, expected in (("a", 10), ("b", 20)):
        session = found[key].session
        assert (session.median, session.p10, session.p90) == (expected, expected, expected)


@pytest.mark.parametrize(
    ("seconds", "rounds"),
    [
        (0.1, ROUNDS),
        # 13 rounds of 0.3 s are less than 4 s, 14 are more
        (0.3, 14),
        (60.0, LEAST),
    ],
)
def test_slow_networks_are_not_timed_for_minutes(
    monkeypatch: pytest.MonkeyPatch, seconds: float, rounds: int
) -> None:
    clock = _Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    engine = _Slow(clock, WARM_UP, 600.0, seconds)
    steps: list[tuple[int, int]] = []
    found = measure_latency(
        {"a": Runtime("a", "", engine)}, IMAGE, lambda *step: steps.append(step)
    )["a"]
    assert SECONDS == 4 and len(steps) == WARM_UP + rounds
    assert found.session.p90 == 1000 * seconds


def test_spread_and_mask_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock()
    monkeypatch.setattr(time, "perf_counter", clock)

    class SlowMask(Runtime):
        def mask(self, outputs: Outputs) -> np.ndarray:
            clock.now += 0.005
            return super().mask(outputs)

    # the slow tenth and a half lies above the 90th percentile's neighbours, not at the median
    engine = _Slow(clock, WARM_UP + 3, 0.100, 0.010)
    found = measure_latency({"a": SlowMask("a", "", engine)}, IMAGE)["a"]
    assert (found.session.median, found.session.p10) == (10, 10)
    # 3 of 20 rounds took 100 ms: the 90th percentile is one of them
    assert ROUNDS == 20 and found.session.p90 == 100
    assert (found.mask.median, found.mask.p90) == (15, 105)


def test_progress_reaches_its_total() -> None:
    seen: list[tuple[int, int]] = []
    runtimes = {"a": Runtime("a", "", FakeEngine(ANSWER))}
    measure_latency(runtimes, IMAGE, lambda *step: seen.append(step))
    assert [done for done, _ in seen] == list(range(1, seen[-1][1] + 1))


def test_every_runtime_gets_its_own_image_and_as_many_rounds_as_asked() -> None:
    seen: dict[str, list[tuple[int, ...]]] = {"a": [], "b": []}

    class Looking(FakeEngine):
        def __init__(self, key: str) -> None:
            super().__init__(ANSWER)
            self._key = key

        def outputs(self, image: np.ndarray) -> Outputs:
            seen[self._key].append(image.shape)
            return super().outputs(image)

    large = np.zeros((1, 3, 4, 6), np.float32)
    found = take_turns(
        {
            "a": (Runtime("a", "", Looking("a")), IMAGE),
            "b": (Runtime("b", "", Looking("b")), large),
        },
        rounds=5,
    )
    assert seen == {"a": [(1, 3, 2, 2)] * (WARM_UP + 5), "b": [(1, 3, 4, 6)] * (WARM_UP + 5)}
    assert [len(found[key].session) for key in "ab"] == [len(found[key].mask) for key in "ab"]
    assert len(found["a"].mask) == 5
    assert all(m >= s for m, s in zip(found["a"].mask, found["a"].session, strict=True))


def test_percentiles_of_a_spread() -> None:
    # 11 values 0..10: the tenth percentile lies on the second, the ninetieth on the last but one
    assert spread([10, 0, 9, 1, 8, 2, 7, 3, 6, 4, 5]) == Spread(median=5, p10=1, p90=9)
    assert spread([1.2345]) == Spread(1.23, 1.23, 1.23)
