"""Make a network's files: fp32 once, every cell a stage of its own, failures noted."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.artifact.artifact import Artifact
from export.workers.engines import Workers
from segport import dependencies
from segport.making import files_of, fp32_of, loaded
from segport.stages import Reuse
from segport.sweep.cell_work import CellWork
from segport.sweep.outcomes import outcomes
from segport.sweep.plan import Cell, Network
from validate.data.datasets import open_dataset


@dataclass(frozen=True)
class Made:
    """A network's fp32 file, its cells' files by name, and errors by name of the others."""

    fp32: Artifact
    files: Mapping[str, Artifact]
    errors: Mapping[str, str]


def make(network: Network, folder: Path, reuse: Reuse, workers: Workers) -> Made:
    """Make all files of a network in folders of `folder`, by `workers`; those made before stay.

    The statistics that several cells need are collected once (`quantize.calibration.cache`).
    Raises SegportError where there is no fp32 file; what goes wrong with a cell is its error.
    """
    recipe, common = network.recipe, dependencies.everywhere()
    fp32 = fp32_of(recipe, folder, reuse, common)
    calibration = open_dataset(recipe.data.calibration, "train", masks=False).sample(
        recipe.data.samples, recipe.data.seed
    )
    common |= dependencies.of_artifact(fp32)
    drawn = dependencies.of_images(calibration)
    stages = {
        cell.name: reuse.stage(
            f"{network.name}: {cell.name}",
            common | dependencies.of_quantization(cell.section, recipe, calibration, drawn),
        )
        for cell in network.cells
    }
    todo = [cell for cell in network.cells if not stages[cell.name].done]
    work = CellWork(recipe, fp32, calibration, folder, Path.cwd(), workers.threads)
    errors: dict[str, str] = {}
    for cell, outcome in outcomes(work, todo, workers, network.name, reuse.progress):
        stage = stages[cell.name]
        if isinstance(outcome, str):
            errors[cell.name] = outcome
            reuse.progress.note(f"{stage.name}: failed: {outcome}")
        else:
            stage.finish(files_of(outcome))
    made = [cell.name for cell in network.cells if cell.name not in errors]
    return Made(fp32, {name: loaded(stages[name]) for name in made}, errors)


def command_of(cell: Cell, network: Network, fp32: Artifact, folder: Path) -> str:
    """Return the `segport quantize` that makes a cell's file."""
    data = network.recipe.data
    options: dict[str, Any] = {
        "calibration": data.calibration,
        "samples": data.samples,
        "seed": data.seed,
        "protocol": data.calibration_protocol,
        "target": cell.section.target if cell.section.precision == "int8" else None,
    } | dict(cell.written)
    if cell.written.get("max_drop") is not None:
        options |= {"labels": data.labels, "mask_suffix": data.mask_suffix, "accept": data.accept}
    words = ["segport", "quantize", str(fp32.path)]
    for key, value in options.items():
        words += _option(key, value)
    return shlex.join([*words, "-o", str(folder / cell.name)])


def _option(key: str, value: Any) -> list[str]:
    flag = f"--{key.replace('_', '-')}"
    if key == "guard":
        return [] if value else ["--no-guard"]
    if value is None or value is False:
        return []
    if value is True:
        return [flag]
    if isinstance(value, list | tuple):
        return [word for one in value for word in (flag, str(one))]
    return [flag, str(value)]
