"""What nobody foresaw is one line and exit code 2 too, never the gate's 1."""

import errno
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from segport.signals import exceptions
from tests.segport.command import Answer, segport


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "segport"


def _gate(monkeypatch: pytest.MonkeyPatch, fail: Callable[[], object]) -> Answer:
    monkeypatch.setattr("validate.gating.gate.load_result", lambda path: fail())
    return segport("gate", "result.json", "--max-drop", "int8=1")


def _raise(error: BaseException) -> Callable[[], object]:
    def fail() -> object:
        raise error

    return fail


def test_a_defect_is_one_line_that_says_where_its_traceback_is(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = _gate(monkeypatch, _raise(KeyError("surprise")))

    (kept,) = state.iterdir()
    assert (answer.code, answer.out) == (2, "")
    (line,) = answer.errors
    assert line.startswith("segport: a defect of segport (KeyError: 'surprise')")
    assert line.endswith(f"its traceback is in {kept}")
    assert "Traceback (most recent call last)" in kept.read_text()
    assert "KeyError: 'surprise'" in kept.read_text()


def test_without_a_folder_for_it_the_line_says_how_to_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))

    answer = _gate(monkeypatch, _raise(RecursionError("too deep")))

    assert answer.code == 2
    (line,) = answer.errors
    assert "RecursionError: too deep" in line
    assert line.endswith("SEGPORT_TRACEBACK=1 shows its traceback")


def test_developers_see_the_traceback(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGPORT_TRACEBACK", "1")
    assert "Traceback (most recent" in _gate(monkeypatch, _raise(ValueError("x"))).err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (OSError(errno.ENOSPC, "No space left", "/x/y"), 2, "segport: /x/y: No space left"),
        (MemoryError(), 2, "segport: memory ran out (MemoryError)"),
        (KeyboardInterrupt(), 130, "segport: interrupted"),
    ],
)
def test_what_is_no_defect_keeps_no_traceback(
    state: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, line: str
) -> None:
    answer = _gate(monkeypatch, _raise(error))
    assert (answer.code, answer.errors) == (code, [line])
    assert not state.exists()


TERMINATED = """
import os, signal
import validate.gating.gate as gate
from segport.__main__ import main
gate.load_result = lambda path: os.kill(os.getpid(), signal.SIGTERM)
main()
"""


def test_a_termination_is_143() -> None:
    command = [sys.executable, "-c", TERMINATED, "gate", "result.json", "--max-drop", "int8=1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (143, "segport: terminated\n")


def test_signals_are_afterwards_what_they_were() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with exceptions():
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_reader_that_has_gone_is_no_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _gate(monkeypatch, _raise(BrokenPipeError(errno.EPIPE, "Broken pipe"))).code == 141


def test_a_terminal_is_sent_no_escape_sequences() -> None:
    answer = segport("gate", "no\x1b[31m\udcff.json", "--max-drop", "int8=1")
    assert answer.code == 2
    assert "no\\x1b[31m\\udcff.json" in answer.err
    assert "\x1b" not in answer.err
