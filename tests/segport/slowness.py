"""Time limits that hold on slow and busy machines, too."""

import subprocess
import sys
import time
from collections.abc import Callable

REFERENCE_SECONDS = 0.19
"""What `_probe` takes on an idle core of the 2.5 GHz Xeon where the limits were set."""
_IMPORTS = "asyncio, decimal, email.message, http.client, unittest.mock, xml.dom.minidom, numpy"


def _probe() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {_IMPORTS}"], check=True)
    return time.perf_counter() - start


def within(seconds: float, job: Callable[[], object]) -> list[tuple[float, float]]:
    """Run `job` until it took less than `seconds` of the reference machine, three times at most.

    Returns nothing if it did, otherwise each try as (its seconds, the limit then). The limit grows
    by what starting Python with some modules takes more right before and after than there: other
    processes share the machine, and some machines are slower; it never shrinks.
    """
    tries = []
    for _ in range(3):
        before = _probe()
        start = time.perf_counter()
        job()
        taken = time.perf_counter() - start
        limit = seconds * max(1.0, (before + _probe()) / 2 / REFERENCE_SECONDS)
        if taken < limit:
            return []
        tries.append((taken, limit))
    return tries
