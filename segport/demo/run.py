"""The main job on the embedded default."""

import shutil
from dataclasses import replace
from pathlib import Path

from export.files import check_writable, new_files
from segport.demo import SCENES, WEIGHTS
from segport.demo.dataset import write_dataset
from segport.demo.picture import draw_comparison
from segport.pipeline import RunResult, run
from segport.progress import Stages
from segport.recipe import load_recipe
from validate.datasets import open_dataset

RECIPE = Path(__file__).with_name("recipe.toml")
PICTURE = "scenes.png"
_SHOWN = (4, 11, 16)
"""Validation scenes in the picture: some objects, a small one alone, many that overlap."""


def run_demo(
    folder: Path, progress: Stages, *, command: str | None = None, force: bool = False
) -> RunResult:
    """Write scenes, checkpoint and recipe to `folder`, run the recipe there, draw a picture.

    Everything `segport.pipeline.run` writes, and `scenes.png`.
    """
    check_writable(folder)
    for source in (WEIGHTS, RECIPE):
        with new_files(folder / source.name) as (temporary,):
            shutil.copyfile(source, temporary)
    write_dataset(folder / "scenes", SCENES, progress.stage("draw scenes"))
    recipe = load_recipe(folder / RECIPE.name)
    done = run(recipe, folder, progress, command=command, force=force)
    progress.stage("draw picture")
    validation = open_dataset(recipe.data.validation, "val")
    shown = replace(validation, items=tuple(validation.items[i] for i in _SHOWN))
    artifacts = [a for a in done.artifacts if a.manifest.precision != "fp16"]  # looks like fp32
    return replace(done, pictures=(draw_comparison(shown, artifacts, folder / PICTURE),))
