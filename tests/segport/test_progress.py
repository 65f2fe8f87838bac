import io
import re
import sys

import pytest

from segport.progress import stages


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_each_stage_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with stages() as progress:
        step = progress.stage("export")
        for done in range(5):
            step(done, 5)
        progress("validate", 0, 9)
        progress("validate", 9, 9)
    out, err = capsys.readouterr()
    assert out == ""
    assert [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in err.splitlines()] == [
        "export",
        "validate",
    ]


def test_on_a_terminal_a_bar_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with stages() as progress:
        progress.stage("quantize int8")(3, 64)
    shown = terminal.getvalue()
    assert "quantize int8" in shown and "3/64" in shown
