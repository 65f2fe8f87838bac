"""Mutated files end in a SegportError or are read, whatever the bytes; a row per parser.

`SEGPORT_FUZZ=5000` tries that many of each instead of a hundred.
"""

import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from export.artifact.artifact import Artifact
from tests.fuzz.parsers import PARSERS

TRIES = int(os.environ.get("SEGPORT_FUZZ", "100"))
pytestmark = pytest.mark.processes
CORPUS = Path(__file__).with_name("corpus")
_TOKENS = (
    b"NaN",
    b"1e999",
    b"-1",
    b"null",
    b"[]",
    b"{}",
    b'"',
    b"\0",
    b"\xff",
    b"[" * 2000,
    b"9" * 5000,
)


NAMES = [
    pytest.param(name, marks=pytest.mark.slow) if parser.slow > 1 else name
    for name, parser in PARSERS.items()
]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Return `data` with one to four changes: flipped, cut, repeated, or a nasty token put in."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(changed) + 1)
        end = min(len(changed), start + rng.choice((1, 4, 32)))
        kind = rng.randrange(4)
        if kind == 0 and start < len(changed):
            changed[start] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del changed[start:end]
        elif kind == 2:
            changed[start:start] = changed[start:end] * rng.choice((1, 50))
        else:
            changed[start:end] = rng.choice(_TOKENS)
    return bytes(changed)


@pytest.mark.parametrize("name", NAMES)
def test_no_mutated_file_is_a_traceback(name: str, tmp_path: Path, tiny: Artifact) -> None:
    parser = PARSERS[name]
    file = parser.seed(tmp_path, tiny)
    sound = file.read_bytes()
    assert not parser.refuses(file)
    there = sorted(tmp_path.rglob("*"))
    refused = 0
    for number in range(max(1, TRIES // parser.slow)):
        file.write_bytes(mutated(sound, random.Random(number)))
        try:
            refused += parser.refuses(file)
        except AssertionError as error:
            raise AssertionError(f"mutation {number}") from error
    assert refused > 0
    assert sorted(tmp_path.rglob("*")) == there  # nothing else was written


@pytest.mark.parametrize("name", NAMES)
def test_what_fuzzing_found_ends_in_an_error(name: str, tmp_path: Path, tiny: Artifact) -> None:
    """Files that reached deep, and those that once ended in a traceback."""
    parser = PARSERS[name]
    file = parser.seed(tmp_path, tiny)
    kept = sorted((CORPUS / name).iterdir())
    assert kept
    for one in kept:
        file.write_bytes(one.read_bytes())
        try:
            parser.refuses(file)
        except AssertionError as error:
            raise AssertionError(one.name) from error


@contextmanager
def _soon() -> Iterator[None]:
    """Interrupt what waits for a writer that never comes."""

    def hung(number: int, frame: object) -> None:
        pytest.fail("it hangs")  # no Exception, which somebody may catch

    before = signal.signal(signal.SIGALRM, hung)
    signal.alarm(5)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


NO_FILES: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "endless device": lambda path: path.symlink_to("/dev/zero"),
    "empty": Path.touch,
}

MAY_BE = {"label-map": ["empty"], "preprocessor": [*NO_FILES]}
"""A label map need not say anything; without preprocessing a checkpoint is read, too."""


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_file_is_refused(name: str, kind: str, tmp_path: Path, tiny: Artifact) -> None:
    file = PARSERS[name].seed(tmp_path, tiny)
    file.unlink()
    NO_FILES[kind](file)
    with _soon():
        refused = PARSERS[name].refuses(file)
    assert refused or kind in MAY_BE.get(name, ())
