"""A sweep from its file to the file that is shipped."""

import json
import shlex
from pathlib import Path
from xml.etree import ElementTree

import pytest

from export.common.files import sha256_of
from tests.segport.command import Answer, segport

GRID = """
name = "fleet"
[data]
calibration = "{root}:train"
samples = 4
validation = "{root}:val"
[network.tiny]
name = "tests.networks:tiny"
weights = "default"
size = [65, 65]
[network.gone]
name = "tests.networks:tiny"
weights = "gone.pth"
[grid]
precision = ["int8"]
range = ["minmax", "mse"]
keep_float = [[], ["no_such_layer*"]]
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory, voc: Path) -> Path:
    file = tmp_path_factory.mktemp("sweep") / "sweep.toml"
    file.write_text(GRID.format(root=voc))
    return file


@pytest.fixture(scope="module")
def swept(plan: Path) -> Answer:
    return segport("sweep", plan, "-o", plan.parent / "out", "--pick", "agreement>=50", "--json")


def test_a_sweep_without_a_file_is_no_success(plan: Path, tmp_path: Path) -> None:
    text = plan.read_text()
    kept, gone = text.index("[network.tiny]"), text.index("[network.gone]")
    (tmp_path / "sweep.toml").write_text(text[:kept] + text[gone:])
    answer = segport("sweep", tmp_path / "sweep.toml", "-o", tmp_path / "out")
    assert answer.code == 2 and "gone.pth" in answer.out
    assert "no file could be made" in answer.errors[-1]


def test_failed_cells_stop_nothing_and_say_why(swept: Answer) -> None:
    assert swept.code == 0
    rows = {(row["network"], row["cell"]): row for row in swept.json["rows"]}
    assert len(rows) == 8
    good = [key for key, row in rows.items() if row["error"] is None]
    assert good == [("tiny", "minmax"), ("tiny", "mse")]
    assert "no_such_layer" in rows["tiny", "mse-no_such_layer_"]["error"]
    assert all("gone.pth" in rows[key]["error"] for key in rows if key[0] == "gone")


def test_figures_are_those_of_validate(plan: Path, voc: Path, swept: Answer) -> None:
    row = next(row for row in swept.json["rows"] if row["cell"] == "mse")
    fp32 = plan.parent / "out/tiny/tiny-fp32.onnx"
    again = segport("validate", fp32, row["file"], "--data", voc, "-o", plan.parent / "r", "--json")
    (judged,) = [one for one in again.json["artifacts"] if one["id"] == "int8"]
    for figure in ("miou", "drop", "drop_ci95", "agreement", "size_bytes"):
        assert row[figure] == judged[figure], figure
    assert row["size_ratio"] == Path(row["file"]).stat().st_size / fp32.stat().st_size


def test_the_command_of_a_row_makes_its_file(plan: Path, swept: Answer) -> None:
    row = swept.json["picked"]
    assert row["frontier"]
    program, *words = shlex.split(row["command"])
    words[words.index("-o") + 1] = str(plan.parent / "again")
    assert (program, segport(*words).code) == ("segport", 0)
    (made,) = (plan.parent / "again").glob("*.onnx")
    assert sha256_of(made) == row["sha256"]


def test_the_same_command_does_nothing_again(plan: Path, swept: Answer) -> None:
    answer = segport("sweep", plan, "-o", plan.parent / "out", "--json")
    before = json.loads(swept.out)
    del before["picked"]
    assert answer.json == before
    for stage in ("tiny: minmax", "tiny: mse", "tiny: judge"):
        assert f"{stage}: reused, nothing changed" in answer.err
    assert not (plan.parent / "out/tiny/rows").exists()


def test_a_pick_that_nothing_fits_is_exit_code_1(plan: Path, swept: Answer) -> None:
    answer = segport("sweep", plan, "-o", plan.parent / "out", "--pick", "time<=0")
    assert answer.code == 1
    assert "no file has time<=0" in answer.out


def test_pages_ask_nobody_for_anything(plan: Path, swept: Answer) -> None:
    folder = plan.parent / "out"
    page = (folder / "sweep.html").read_text()
    assert "default-src 'none'" in page and "src=" not in page
    assert "gone.pth" in page and "segport quantize" in page
    svg = ElementTree.fromstring((folder / "frontier.svg").read_bytes())
    said = [title.text for title in svg.iter("{http://www.w3.org/2000/svg}title")]
    assert len([text for text in said if text and text.startswith("tiny ")]) == 2
    assert "tiny" in (folder / "sweep.md").read_text()
