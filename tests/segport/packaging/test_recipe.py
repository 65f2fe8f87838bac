"""`[package]` of a recipe: made at the end of a run, and again only when something changed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.segport.command import segport

SECTION = """[package]
variants = ["int8", "fp32"]
samples = "{pictures}"
licence = "ours"
[validate]
"""


@pytest.mark.slow
def test_a_run_ends_with_its_package(
    write_recipe: Callable[..., Path], pictures: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(
        ("[validate]\n", SECTION.format(pictures=pictures)), (', "center-crop"', "")
    )
    out = tmp_path / "out"
    done = segport("run", recipe, "-o", out, "--json")
    assert done.code == 0, done.err
    package = out / "package"
    assert done.json["package"] == str(package)
    manifest = json.loads((package / "manifest.json").read_text())
    assert list(manifest["components"]["tiny"]["variants"]) == ["int8", "fp32"]
    assert "PASS" in (package / "model_card.md").read_text()
    assert segport("verify", package).code == 0
    again = segport("run", recipe, "-o", out)
    assert "package: reused, nothing changed" in again.err
    (package / "infer.py").write_text("print('mine')")
    again = segport("run", recipe, "-o", out)
    assert "package: again (package/infer.py was modified)" in again.err
    assert segport("verify", package).code == 0


def test_a_variant_that_the_run_does_not_make_is_said(
    write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = write_recipe(("[validate]\n", '[package]\nvariants = ["int9"]\n[validate]\n'))
    refused = segport("run", recipe, "-o", tmp_path / "out")
    assert refused.code == 2 and "did you mean 'int8'" in refused.err
