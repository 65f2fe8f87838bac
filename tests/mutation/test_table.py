"""The table of what is mutated is up to date, and what lives is listed with a reason."""

import re
from pathlib import Path

import pytest

from tests.mutation.table import SUBJECTS

ROOT = Path(__file__).resolve().parents[2]
SURVIVORS = Path(__file__).parent / "survivors"
LISTED = sorted(path.stem for path in SURVIVORS.glob("*.md"))
"""Subjects that were run; `make mutants SUBJECTS=name` runs one and lists it."""


@pytest.mark.parametrize("name", SUBJECTS)
def test_modules_and_tests_are_there(name: str) -> None:
    for pattern in SUBJECTS[name].modules:
        assert list(ROOT.glob(pattern)), f"{pattern} matches nothing"
    for test in SUBJECTS[name].tests:
        assert (ROOT / test).exists(), f"{test} is not there"


def test_what_is_listed_is_in_the_table() -> None:
    assert LISTED and set(LISTED) <= set(SUBJECTS)


@pytest.mark.parametrize("name", LISTED)
def test_nine_of_ten_mutants_were_killed_and_the_others_have_reasons(name: str) -> None:
    listed = (SURVIVORS / f"{name}.md").read_text()
    found = re.match(rf"# {name}: (\d+) of (\d+) mutants killed", listed)
    assert found
    killed, total = map(int, found.groups())
    assert killed >= 0.9 * total
    rows = [line for line in listed.splitlines() if "| `" in line]
    assert len(rows) == total - killed
    assert "not looked at" not in listed
