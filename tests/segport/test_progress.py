import io
import re
import sys
import time

import pytest

from segport import progress as module
from segport.progress import stages


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _without_times(text: str) -> list[str]:
    return [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in text.splitlines()]


def test_without_a_terminal_each_stage_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with stages() as progress:
        step = progress.stage("export")
        for done in range(5):
            step(done, 5)
        progress("validate", 0, 9)
        progress("validate", 9, 9)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("\n")
    assert _without_times(err) == ["export", "validate"]


def test_a_long_stage_shows_that_it_is_alive(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.1)
    with stages() as progress:
        progress.stage("export")
        time.sleep(0.4)  # as an import does: no report
        step = progress.stage("validate")
        step(3, 9)
        time.sleep(0.4)
    export, validate = _without_times(capsys.readouterr().err)
    assert re.fullmatch(r"export( \.)+", export)
    assert re.fullmatch(r"validate( 3/9)+", validate)


def test_a_stage_that_fails_ends_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError), stages() as progress:
        progress.stage("export")
        raise ValueError
    assert capsys.readouterr().err.endswith("export\n")


def test_nothing_is_printed_before_the_first_stage(capsys: pytest.CaptureFixture[str]) -> None:
    with stages():
        pass
    assert capsys.readouterr().err == ""


def test_on_a_terminal_a_bar_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with stages() as progress:
        progress.stage("quantize int8")(3, 64)
    shown = terminal.getvalue()
    assert "quantize int8" in shown and "3/64" in shown


def test_a_note_is_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with stages() as progress:
        progress.note("export: reused, nothing changed")
        progress.stage("quantize int8")
    assert _without_times(capsys.readouterr().err) == [
        "export: reused, nothing changed",
        "quantize int8",
    ]


def test_a_note_stays_on_a_terminal_where_the_bar_vanishes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with stages() as progress:
        progress.stage("export")
        progress.note("quantize int8: again ([validate] changed)")
    assert "quantize int8: again ([validate] changed)\n" in terminal.getvalue()


def test_a_long_stage_says_how_long_it_will_take(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    lines = module._Lines()
    step = lines.stage("validate")
    clock[0] = 50.0  # files are opened: no part of the work
    for done in range(1001):
        step(done, 1000)
        if done in (400, 990):
            lines.remind()
        clock[0] += 0.5 if done else 40.0  # the first opens the session
    # 600 images of half a second; 5 s are not worth a word
    assert _without_times(capsys.readouterr().err) == ["validate 400/1000, 5:00 left 990/1000"]
