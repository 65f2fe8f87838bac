"""Where a file that somebody edits by hand stops being JSON or TOML, the error says so."""

from pathlib import Path

import pytest

from export.artifact.artifact import Artifact
from export.common.errors import SegportError
from tests.fuzz.parsers import PARSERS


@pytest.mark.parametrize("name", ["manifest", "result", "baseline", "diagnosis", "recipe", "coco"])
def test_errors_say_line_and_column(name: str, tmp_path: Path, tiny: Artifact) -> None:
    file = PARSERS[name].seed(tmp_path, tiny)
    lines = file.read_text().splitlines(keepends=True)
    row = min(2, len(lines) - 1)
    column = len(lines[row]) - len(lines[row].lstrip()) + (name == "coco")
    lines[row] = f"{lines[row][:column]}?{lines[row][column:]}"
    file.write_text("".join(lines))

    with pytest.raises(SegportError, match=rf"line {row + 1},? column {column + 1}\b") as said:
        PARSERS[name].load(file)

    assert file.name in str(said.value)
