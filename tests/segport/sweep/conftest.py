"""Workers that make cells."""

from collections.abc import Iterator

import pytest

from tests.cluster import head


@pytest.fixture(scope="package")
def cluster() -> Iterator[str]:
    pytest.importorskip("ray")
    with head() as address:
        yield address


@pytest.fixture(params=["processes", "ray"])
def by_two(request: pytest.FixtureRequest) -> list[object]:
    """Options of two workers of either kind."""
    words: list[object] = ["--engine", request.param, "--workers", 2]
    if request.param == "ray":
        words += ["--address", request.getfixturevalue("cluster")]
    return words
