"""The fp32 artifact of a run: made in a process of its own, as it would be made in this one."""

import subprocess
import sys
import types
from pathlib import Path

import pytest

from export.artifact.artifact import Artifact
from export.common.errors import UsageError
from segport.recipe import Recipe
from segport.source import make_fp32
from tests.networks import tiny as tiny_network
from tests.segport.process import SCRIPT


def _recipe(network: str, **model: object) -> Recipe:
    sections = {
        "model": {"name": network, "weights": "default", "size": (65, 65), **model},
        "data": {"calibration": "none", "validation": "none"},
    }
    return Recipe.model_validate({"name": "tiny", **sections})


@pytest.mark.slow
@pytest.mark.processes
def test_it_is_the_file_that_this_process_would_make(tiny: Artifact, tmp_path: Path) -> None:
    made = make_fp32(_recipe("tests.networks:tiny"), tmp_path)
    assert made.manifest == tiny.manifest
    assert made.path == tmp_path / "tiny-fp32.onnx"
    assert made.path.read_bytes() == tiny.path.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny-fp32.json", "tiny-fp32.onnx"]


@pytest.mark.slow
def test_torch_stays_in_the_process_that_exports(tmp_path: Path) -> None:
    """And the exporter: they would take 650 MB of those that quantizing needs."""
    code = (
        "import sys; from pathlib import Path\n"
        "from segport.recipe_file import load_recipe; from segport.source import make_fp32\n"
        "made = make_fp32(load_recipe(Path(sys.argv[1], 'recipe.toml')), Path(sys.argv[1]))\n"
        "assert made.path.is_file() and not {'torch', 'onnxscript'} & set(sys.modules)\n"
    )
    (tmp_path / "recipe.toml").write_text(
        'name = "tiny"\n[model]\nname = "tests.networks:tiny"\nweights = "default"\n'
        'size = [65, 65]\n[data]\ncalibration = "none"\nvalidation = "none"\n'
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_a_network_that_only_this_process_has_is_exported_too(
    tiny: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("typed_in_a_notebook")
    module.network = tiny_network  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "typed_in_a_notebook", module)
    made = make_fp32(_recipe("typed_in_a_notebook:network"), tmp_path)
    assert made.manifest.sha256 == tiny.manifest.sha256


@pytest.mark.slow
@pytest.mark.processes
def test_what_is_wrong_is_said_as_ever_and_nothing_is_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UsageError, match=r"^model tests\.networks:gone: AttributeError: "):
        make_fp32(_recipe("tests.networks:gone"), out)
    assert not out.exists()


@pytest.mark.slow
def test_an_exporter_that_is_killed_is_one_line_and_leaves_nothing(
    tmp_path: Path, voc: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        "import os, signal\ndef net():\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    (tmp_path / "recipe.toml").write_text(
        f'name = "mine"\n[model]\nname = "mine:net"\nweights = "default"\n'
        f'[data]\ncalibration = "{voc}:train"\nvalidation = "{voc}:val"\n'
    )
    answer = subprocess.run(
        [str(SCRIPT), "run", "recipe.toml", "-o", "out"],
        capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.splitlines()[-1] == (
        "segport: the process that exports ended early (killed by signal 9; perhaps memory ran out)"
    )
    left = {path.name for path in tmp_path.iterdir()} - {"__pycache__"}  # of mine.py, by Python
    assert left == {"mine.py", "recipe.toml"}
