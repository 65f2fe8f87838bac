"""Latency, measured fairly: in turns, after everything else, on the same image."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from validate.runtimes import Runtime

WARM_UP = 3
ROUNDS = 20


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


def measure_latency(
    runtimes: Mapping[str, Runtime],
    image: NDArray[np.float32],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Latency]:
    """Time every runtime on `image` in an interleaved loop: one run of each per round.

    Interleaving spreads slow phases of the machine over all of them, so ratios hold even
    where absolute times do not.
    """
    session: dict[str, list[float]] = {key: [] for key in runtimes}
    mask: dict[str, list[float]] = {key: [] for key in runtimes}
    for done in range(WARM_UP + ROUNDS):
        for key, runtime in runtimes.items():
            start = time.perf_counter()
            outputs = runtime.engine.outputs(image)
            inferred = time.perf_counter()
            runtime.mask(outputs)
            masked = time.perf_counter()
            if done >= WARM_UP:
                session[key].append(1000 * (inferred - start))
                mask[key].append(1000 * (masked - start))
        progress(done + 1, WARM_UP + ROUNDS)
    return {key: Latency(_spread(session[key]), _spread(mask[key])) for key in runtimes}


def _spread(times: list[float]) -> Spread:
    p10, median, p90 = np.percentile(times, [10, 50, 90])
    return Spread(round(float(median), 2), round(float(p10), 2), round(float(p90), 2))
