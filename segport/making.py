"""The files of a run: fp32 by its `[model]`, and what is ordered of it, each a stage of its own."""

from pathlib import Path

from export.artifact.artifact import Artifact, load_artifact
from quantize.quantization import Order
from quantize.self_check import SelfCheck
from segport import dependencies
from segport.recipe import ArtifactSection, Recipe
from segport.recipe_values import request_of, settings_of
from segport.searching import held_back, open_search
from segport.source import make_fp32
from segport.stages import Reuse, Stage
from validate.data.items import Dataset
from validate.samples.samples import Preparation
from validate.samples.trap_table import MASK_SIZE


def fp32_of(recipe: Recipe, folder: Path, reuse: Reuse, common: dependencies.Inputs) -> Artifact:
    """Return the fp32 artifact, an earlier run's unless the network is the user's own."""
    if ":" in (recipe.model.name or ""):  # its code may depend on anything: only running it tells
        reuse.progress.stage("export")
        return make_fp32(recipe, folder)
    stage = reuse.stage("export", common | dependencies.of_export(recipe))
    if not stage.done:
        stage.begin()
        made = make_fp32(recipe, folder)
        stage.finish(files_of(made))
    return loaded(stage)


def loaded(stage: Stage) -> Artifact:
    """Return the artifact that a finished stage wrote."""
    (file,) = (path for path in stage.files if path.suffix == ".onnx")
    return load_artifact(file)


def files_of(artifact: Artifact) -> list[Path]:
    """Return an artifact's file and manifest."""
    return [artifact.path, artifact.path.with_suffix(".json")]


def order_of(
    section: ArtifactSection, stage: Stage, recipe: Recipe, fp32: Artifact, calibration: Dataset
) -> Order:
    """Return what a recipe's section orders of the fp32 file; opens its search, if it has one."""
    seed, search = recipe.data.seed, None
    preparation = Preparation.for_artifact(fp32.manifest, recipe.data.calibration_protocol)
    if request := request_of(section, recipe):
        stage.begin()
        judging = Preparation.for_artifact(
            fp32.manifest,
            recipe.data.calibration_protocol,
            recipe.data.labels,
            fit=MASK_SIZE in recipe.data.accept,
        )
        search = open_search(
            request,
            fp32,
            calibration,
            judging,
            seed,
            stage.reuse.progress.note,
            mask_suffix=recipe.data.mask_suffix,
            accepted=recipe.data.accept,
        )
    shown = stage.reuse.progress.later(stage.name)
    unseen = held_back(recipe.data.calibration, calibration, preparation, seed)
    check = SelfCheck(unseen, section.min_self_agreement, section.force)
    return Order(section.precision, settings_of(section), search, shown, check)
