"""Latency, measured fairly: interleaved, after everything else, on the same image."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from export.common.progress import Progress, silent
from validate.runtime.engine import Runtime

WARM_UP = 3
ROUNDS = 20
LEAST = 10
"""Rounds however long they take; between these, as many as fit into `SECONDS`."""
SECONDS = 4.0
"""A run of a slow network averages over the machine's noise itself; twenty would take a minute."""


@dataclass(frozen=True)
class Spread:
    """Median and the 10th and 90th percentile, in milliseconds."""

    median: float
    p10: float
    p90: float


@dataclass(frozen=True)
class Latency:
    """`session` is inference alone; `mask` image tensor to class mask."""

    session: Spread
    mask: Spread


@dataclass(frozen=True)
class Rounds:
    """Milliseconds of every round, warm-up left out; what `Latency` sums up."""

    session: list[float]
    mask: list[float]

    @property
    def latency(self) -> Latency:
        """Median and percentiles of both."""
        return Latency(spread(self.session), spread(self.mask))


def measure_latency(
    runtimes: Mapping[str, Runtime],
    image: NDArray[np.float32],
    progress: Progress = silent,
) -> dict[str, Latency]:
    """Time every runtime on `image` in 20 rounds, fewer where a round is slow; see `take_turns`."""
    timed = {key: (runtime, image) for key, runtime in runtimes.items()}
    rounds = take_turns(timed, ROUNDS, progress, seconds=SECONDS)
    return {key: measured.latency for key, measured in rounds.items()}


def take_turns(
    timed: Mapping[str, tuple[Runtime, NDArray[np.float32]]],
    rounds: int,
    progress: Progress = silent,
    *,
    seconds: float = inf,
) -> dict[str, Rounds]:
    """Time every runtime on its image in an interleaved loop: one run of each per round.

    The loop ends early, but not before `LEAST` rounds, when they took `seconds`. Interleaving
    spreads slow phases of the machine over all of them, so ratios hold even where absolute times
    do not.
    """
    turns = {key: Rounds([], []) for key in timed}
    begun = time.perf_counter()
    for done in range(WARM_UP + rounds):
        if done == WARM_UP:
            begun = time.perf_counter()
        elif done >= WARM_UP + LEAST and time.perf_counter() - begun >= seconds:
            break
        for key, (runtime, image) in timed.items():
            start = time.perf_counter()
            outputs = runtime.engine.outputs(image)
            inferred = time.perf_counter()
            runtime.mask(outputs)
            masked = time.perf_counter()
            if done >= WARM_UP:
                turns[key].session.append(1000 * (inferred - start))
                turns[key].mask.append(1000 * (masked - start))
        progress(done + 1, WARM_UP + rounds)
    return turns


def spread(times: Sequence[float]) -> Spread:
    """Return median, 10th and 90th percentile, rounded to two decimals."""
    p10, median, p90 = np.percentile(times, [10, 50, 90])
    return Spread(round(float(median), 2), round(float(p10), 2), round(float(p90), 2))
