"""Latency in a hurry."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def few_rounds() -> Iterator[None]:
    """Inside, every runtime is timed in 3 rounds: for tests that assert nothing of times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("validate.speed.latency.ROUNDS", 3)
        yield
