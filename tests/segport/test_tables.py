"""A part is added by one entry in one table: everything that users see of it comes from there."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segport.choice_page import TABLES, choice_page
from segport.recipe_file import load_recipe
from tests.segport.command import segport
from tests.segport.new_entries import ENTRIES, HELP, New

REPOSITORY = Path(__file__).resolve().parents[2]
SHOWN = """
import json, os, sys
sys.argv = ["segport"]
from tests.segport.new_entries import ENTRIES, added
added()
from segport.choice_page import choice_page
from tests.segport.command import segport

os.environ["COLUMNS"] = "200"
helps = {new.help: segport(new.help, "--help").out for new in ENTRIES if new.help}
completed = {}
for new in ENTRIES:
    if new.completed:
        words = new.completed.split()
        os.environ |= {"_SEGPORT_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": new.completed}
        completed[new.name] = segport().out
print(json.dumps({"help": helps, "completed": completed, "page": choice_page()}))
"""
RECIPE = """
name = "tables"
[model]
name = "new-network"
weights = "random"
output = "new-output"
classes = "new-classes"
[data]
calibration = "images"
validation = "images"
calibration_protocol = "new-protocol"
labels = "new-labels"
accept = ["new-trap"]
[[artifact]]
precision = "new-precision"
target = "new-target"
range = "new-rule"
with = ["new-rewrite", "new-rounding"]
[validate]
protocols = ["new-protocol"]
runtime = "new-runtime"
"""
NAMED = [new.name for new in ENTRIES if f'"{new.name}"' in RECIPE]


@pytest.fixture(scope="module")
def shown() -> Any:
    """Help, completion and docs/choices.md of a process in which every table has a new entry."""
    done = subprocess.run(
        [sys.executable, "-c", SHOWN], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def new_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    for new in ENTRIES:
        monkeypatch.setitem(new.table, new.name, new.entry)


def _id(new: New) -> str:
    return new.name


@pytest.mark.parametrize("new", [new for new in ENTRIES if new.help], ids=_id)
def test_help_shows_a_new_entry(shown: Any, new: New) -> None:
    words = " ".join(shown["help"][new.help].replace("│", " ").split())
    assert new.name.replace("_", "-") in words


@pytest.mark.parametrize("new", [new for new in ENTRIES if new.completed], ids=_id)
def test_a_shell_completes_a_new_entry_and_says_what_it_is(shown: Any, new: New) -> None:
    found = shown["completed"][new.name]
    assert new.name.replace("_", "-") in found
    assert HELP in found or new.name == "new-classes"


@pytest.mark.parametrize("new", ENTRIES, ids=_id)
def test_the_docs_get_a_new_entry(shown: Any, new: New) -> None:
    section = shown["page"].partition(f"## {new.heading}\n")[2].partition("\n## ")[0]
    assert f"| `{new.name}`" in section


def test_the_page_that_is_committed_is_the_one_that_is_made() -> None:
    assert (REPOSITORY / "docs/choices.md").read_text() == choice_page() + "\n"


def test_every_entry_says_in_one_line_what_it_is() -> None:
    for heading in TABLES:
        section = choice_page().partition(f"## {heading}\n")[2].partition("\n## ")[0]
        rows = [line for line in section.splitlines() if line.startswith("| `")]
        assert rows and all(row.split("|")[2].strip() for row in rows), heading


@pytest.mark.usefixtures("new_entries")
def test_a_recipe_takes_new_entries(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    recipe = load_recipe(tmp_path / "recipe.toml")
    assert recipe.artifact[0].added == ("new-rewrite", "new-rounding")
    assert recipe.data.labels == "new-labels"


@pytest.mark.parametrize(
    "name", [name for name in NAMED if name not in ("new-classes", "new-labels")]
)
def test_a_recipe_names_what_is_in_no_table(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Class names and label maps may be files: they are read when the run begins."""
    for new in ENTRIES:
        if new.name != name:
            monkeypatch.setitem(new.table, new.name, new.entry)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    answer = segport("run", tmp_path / "recipe.toml")
    assert answer.code == 2
    assert f"'{name}'" in answer.err and "recipe.toml: " in answer.err and "unknown" in answer.err


@pytest.mark.slow
@pytest.mark.usefixtures("new_entries")
def test_commands_use_new_entries(
    tmp_path: Path, make_voc: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a new network to a new form of the verdicts, through what each entry does."""
    voc = make_voc(tmp_path / "VOC2012", train=3, val=2)
    plain = tmp_path / "plain"
    (plain / "new-layout").mkdir(parents=True)
    for folder in ("JPEGImages", "SegmentationClass"):
        for file in (voc / folder).iterdir():
            (plain / "new-layout" / file.name).write_bytes(file.read_bytes())
    out, result = tmp_path / "out", tmp_path / "result"
    _ok("export", "new-network", "--weights", "random", "--size", 65, 65, "-o", out,
        "--name", "net", "--output", "new-output")  # fmt: skip
    fp32 = out / "net-fp32.onnx"
    chosen = ("--target", "new-target", "--range", "new-rule", "--with", "new-rewrite")
    more = ("--with", "new-rounding", "--protocol", "new-protocol", "--accept", "new-trap")
    images = ("--calibration", voc, "--samples", 3, "-o", out, "--force")
    _ok("quantize", fp32, "--precision", "int8", *chosen, *more, *images)
    _ok("quantize", fp32, "--precision", "new-precision", "-o", out)
    third = out / "net-new-precision.onnx"
    int8 = out / "net-int8-new-target.onnx"
    settings = json.loads(int8.with_suffix(".json").read_text())["settings"]
    assert (settings["target"], settings["range"]) == ("new-target", "new-rule")
    _ok("validate", fp32, int8, third, "--data", plain, "--protocol", "new-protocol", "--runtime",
        "new-runtime", "--labels", "new-labels", "-o", result)  # fmt: skip
    document = json.loads((result / "result.json").read_text())
    assert document["protocol"] == "new-protocol"
    assert {one["runtime"] for one in document["artifacts"]} == {"new-runtime"}
    _ok("report", result / "result.json", "-o", result, "--format", "new-format")
    assert (result / "report.new-format").read_text() == "net\n"


def _ok(*arguments: object) -> None:
    answer = segport(*arguments)
    assert answer.code == 0, answer.err
