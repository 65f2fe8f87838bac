"""The main job on the embedded default."""

import shutil
from dataclasses import replace
from pathlib import Path

from export.common.files import check_writable, new_files
from export.common.progress import Stages
from segport import dependencies
from segport.demo import SCENES, WEIGHTS
from segport.demo.dataset import write_dataset
from segport.demo.picture import draw_comparison
from segport.pipeline import RunResult, run
from segport.recipe_file import load_recipe
from segport.stages import Reuse
from validate.data.datasets import open_dataset

RECIPE = Path(__file__).with_name("recipe.toml")
PICTURE = "scenes.png"
_SHOWN = (4, 11, 16)
"""Validation scenes in the picture: some objects, a small one alone, many that overlap."""


def run_demo(
    folder: Path, progress: Stages, *, command: str | None = None, force: bool = False
) -> RunResult:
    """Write scenes, checkpoint and recipe to `folder`, run the recipe there, draw a picture.

    Everything `segport.pipeline.run` writes, and `scenes.png`. What an earlier run into the
    folder drew alike stays, unless `force`.
    """
    check_writable(folder)
    for source in (WEIGHTS, RECIPE):
        with new_files(folder / source.name) as (temporary,):
            shutil.copyfile(source, temporary)
    reuse, common = Reuse(folder, progress, force), dependencies.everywhere()
    scenes = reuse.stage("draw scenes", common | {"scenes": SCENES})
    if not scenes.done:
        root = write_dataset(folder / "scenes", SCENES, scenes.begin())
        scenes.finish(path for path in root.rglob("*") if path.is_file())
    recipe = load_recipe(folder / RECIPE.name)
    done = run(recipe, folder, progress, command=command, force=force)
    shown = [a for a in done.artifacts if a.manifest.precision != "fp16"]  # looks like fp32
    for artifact in shown:
        common |= dependencies.of_artifact(artifact)
    validation = open_dataset(recipe.data.validation, "val")
    rows = replace(validation, items=tuple(validation.items[i] for i in _SHOWN))
    picture = reuse.stage("draw picture", common | {"scenes": dependencies.of_images(rows)})
    if not picture.done:
        picture.begin()
        picture.finish([draw_comparison(rows, shown, folder / PICTURE)])
    return replace(done, pictures=(folder / PICTURE,))
