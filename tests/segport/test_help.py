import re
import shlex
import sys

import pytest
import typer

from segport.cli import COMMANDS, EXAMPLES, GROUPS, STAGES, app
from tests.segport.command import segport
from tests.segport.process import process


@pytest.mark.parametrize("name", [*COMMANDS, *GROUPS])
def test_help_fits_a_screen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    lines = segport(name, "--help").out.strip().splitlines()
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_an_example_that_parses(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert segport(name, "--help").out.rstrip().endswith(f"Example: {EXAMPLES[name]}")
    program, command, *arguments = shlex.split(EXAMPLES[name])
    assert (program, command) == ("segport", name)
    parser = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    parser.make_context(name, arguments)  # raises for options that are not there, or missing


def test_help_groups_every_command_once() -> None:
    grouped = [name for names in STAGES.values() for name in names]
    assert sorted(grouped) == sorted([*COMMANDS, *GROUPS])
    out = segport("--help").out
    assert all(panel in out for panel in STAGES)


def test_no_color_turns_colours_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    command = (sys.executable, "-m", "segport", "gate", "--help")
    colour = re.compile(r"\x1b\[(?:\d+;)*3\d")
    assert colour.search(process(*command).stdout)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colour.search(process(*command).stdout)
