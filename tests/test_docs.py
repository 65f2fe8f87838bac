"""The documentation: its links, its site, and every command and example in it."""

import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from docs.layout import PICTURE, arrows, layout_svg
from segport.cli import COMMANDS
from tests.documentation import REPOSITORY, shell, workshop_in
from tests.segport.command import Answer

PAGES = sorted(
    path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "docs").rglob("*.md")
)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)[^)]*\)")
GENERATED = {"docs/cli.md", "docs/example.md"}
OF_README = ("docs/walkthrough.md", "docs/published.md")
"""Pages whose commands tests/test_readme.py runs."""
SHELL = re.compile(r"^( *)```sh\n(.*?)^ *```$", re.S | re.M)
FAILING = {"docs/gate.md"}
"""Pages whose commands may end with exit code 1: the gate's word on a file that is bad."""


def _links(page: str) -> set[str]:
    file = REPOSITORY / page
    found = {(file.parent / target).resolve() for target in LINK.findall(file.read_text())}
    return {path.relative_to(REPOSITORY).as_posix() for path in found}


def _commands(page: str) -> list[str]:
    text = (REPOSITORY / page).read_text()
    blocks = [dedent(indent + code) for indent, code in SHELL.findall(text)]
    if page in FAILING:
        return [
            re.sub(r"( +#.*)?$", " || [ $? -eq 1 ]", line, count=1)
            for block in blocks
            for line in block.splitlines()
        ]
    return blocks


NEEDS = {"docs/howto/browser.md": pytest.mark.web}
RUN = [
    pytest.param(page, marks=NEEDS.get(page, ()))
    for page in PAGES
    if _commands(page) and page not in OF_README
]


@pytest.mark.parametrize("page", ["README.md", *PAGES])
def test_links_lead_somewhere(page: str) -> None:
    missing = [target for target in _links(page) if not (REPOSITORY / target).exists()]
    assert missing == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), ["README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            waiting += [target for target in _links(page) if target in PAGES]
    decisions = {page for page in PAGES if page.startswith("docs/decisions/")}
    assert set(PAGES) - reached <= decisions and "docs/decisions" in _links("README.md")


def test_the_picture_of_the_layout_is_that_of_the_code() -> None:
    drawn = layout_svg()
    assert PICTURE.read_text() == drawn, "python docs/layout.py renews it"
    for folder in arrows():
        assert f">{folder.split('.')[-1]}</text>" in drawn or "." not in folder


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    options = (tmp_path / "site/cli.html").read_text()
    for name in COMMANDS:
        assert f">segport {name}<" in re.sub(r"<a[^>]*>.*?</a>", "", options).replace("</h2>", "<")
    assert "--max-class-drop" in options and "points of IoU that a class may lose" in options
    functions = (tmp_path / "site/reference.html").read_text()
    assert "segport.quantize" in functions and "Hardware of the int8 file" in functions
    for page in (tmp_path / "site").rglob("*.html"):
        assert not re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"https?:", page.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_work(page: str, demo: tuple[Answer, Path], tmp_path: Path) -> None:
    folder = workshop_in(tmp_path, demo[1])
    for code in _commands(page):
        done = shell(code, folder)
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
def test_each_table_takes_one_entry(demo: tuple[Answer, Path], tmp_path: Path) -> None:
    text = (REPOSITORY / "docs/extending.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(blocks) > 8
    folder = workshop_in(tmp_path, demo[1])
    (folder / "entries.py").write_text("\n".join(blocks))
    done = shell("python entries.py", folder)
    assert done.returncode == 0, done.stderr
