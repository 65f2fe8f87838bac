import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.once import made_once
from tests.segport.command import Answer, segport

RECIPE = """
name = "tiny"
[model]
name = "tests.networks:tiny"
weights = "default"
size = [65, 65]
[data]
calibration = "{voc}:train"
samples = 3
seed = 1
validation = "{voc}:val"
[[artifact]]
precision = "fp16"
[[artifact]]
precision = "int8"
target = "cpu"
range = "minmax"
[validate]
protocols = ["squash", "center-crop"]
reference = "torch"
[gate.max_drop]
fp32 = 100
fp16 = 100
int8 = 100
"""


@pytest.fixture(scope="session")
def recipe_text(voc: Path) -> str:
    """A recipe for `tests.networks:tiny` with budgets that always pass."""
    return RECIPE.format(voc=voc)


@pytest.fixture(scope="session")
def done(recipe_text: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Answer, Path]:
    """What `segport run` printed for that recipe, and the folder it wrote. Read only."""

    def make(folder: Path) -> None:
        (folder / "recipe.toml").write_text(recipe_text)
        answer = segport("run", folder / "recipe.toml", "-o", folder / "out")
        (folder / "answer.json").write_text(json.dumps(asdict(answer)))

    folder = made_once(tmp_path_factory, "done", make)
    return Answer(**json.loads((folder / "answer.json").read_text())), folder / "out"


@pytest.fixture
def write_recipe(recipe_text: str, tmp_path: Path) -> Callable[..., Path]:
    """Write that recipe with texts replaced: `write_recipe(("old", "new"), ...)`."""

    def write(*changes: tuple[str, str]) -> Path:
        text = recipe_text
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        path = tmp_path / "recipe.toml"
        path.write_text(text)
        return path

    return write
