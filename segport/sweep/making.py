"""Make a network's files: fp32 once, every cell a stage of its own, failures noted."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.artifact.artifact import Artifact
from export.common.errors import SegportError
from export.workers.engines import Workers
from segport import dependencies
from segport.making import files_of, fp32_of, loaded
from segport.stages import Reuse, Stage
from segport.sweep.cell_work import CellWork, reason
from segport.sweep.cells import Cell
from segport.sweep.outcomes import outcomes
from segport.sweep.plan import Network
from validate.data.datasets import open_dataset
from validate.data.items import Dataset


@dataclass(frozen=True)
class Source:
    """A network's fp32 file, and what its cells are calibrated with and depend on.

    `calibrated` are the digests of the calibration images. Files go to folders in `reuse.folder`.
    """

    network: Network
    reuse: Reuse
    fp32: Artifact
    calibration: Dataset
    calibrated: Any
    inputs: dependencies.Inputs

    def stage(self, cell: Cell) -> Stage:
        """Return the stage that makes a cell's file. Raises UsageError for what it cannot be."""
        inputs = dependencies.of_quantization(
            cell.section, self.network.recipe, self.calibration, self.calibrated
        )
        return self.reuse.stage(f"{self.network.name}: {cell.name}", self.inputs | inputs)


@dataclass(frozen=True)
class Made:
    """Cells' files by name, and errors by name of the others."""

    files: Mapping[str, Artifact]
    errors: Mapping[str, str]


def source_of(network: Network, reuse: Reuse) -> Source:
    """Make a network's fp32 file, unless it is there. Raises SegportError where that cannot be."""
    recipe, common = network.recipe, dependencies.everywhere()
    fp32 = fp32_of(recipe, reuse.folder, reuse, common)
    calibration = open_dataset(recipe.data.calibration, "train", masks=False).sample(
        recipe.data.samples, recipe.data.seed
    )
    inputs = common | dependencies.of_artifact(fp32)
    calibrated = dependencies.of_images(calibration)
    return Source(network, reuse, fp32, calibration, calibrated, inputs)


def make(source: Source, cells: Sequence[Cell], workers: Workers) -> Made:
    """Make the files of cells by `workers`; those made before stay, what goes wrong is an error.

    The statistics that several cells need are collected once (`quantize.calibration.cache`).
    """
    network, reuse = source.network, source.reuse
    stages: dict[str, Stage] = {}
    errors: dict[str, str] = {}

    def fail(name: str, error: str) -> None:
        errors[name] = error
        reuse.progress.note(f"{network.name}: {name}: failed: {error}")

    for cell in cells:
        try:
            stages[cell.name] = source.stage(cell)
        except SegportError as error:
            fail(cell.name, reason(error))
    todo = [cell for cell in cells if cell.name in stages and not stages[cell.name].done]
    work = CellWork(
        network.recipe,
        source.fp32,
        source.calibration,
        source.reuse.folder,
        Path.cwd(),
        workers.threads,
    )
    for cell, outcome in outcomes(work, todo, workers, network.name, reuse.progress):
        if isinstance(outcome, str):
            fail(cell.name, outcome)
        else:
            stages[cell.name].finish(files_of(outcome))
    made = {name: loaded(stage) for name, stage in stages.items() if name not in errors}
    return Made(made, errors)


def command_of(cell: Cell, source: Source) -> str:
    """Return the `segport quantize` that makes a cell's file."""
    data = source.network.recipe.data
    options: dict[str, Any] = {
        "calibration": data.calibration,
        "samples": data.samples,
        "seed": data.seed,
        "protocol": data.calibration_protocol,
        "target": cell.section.target if cell.section.precision == "int8" else None,
    } | dict(cell.written)
    if cell.written.get("max_drop") is not None:
        options |= {"labels": data.labels, "mask_suffix": data.mask_suffix, "accept": data.accept}
    words = ["segport", "quantize", str(source.fp32.path)]
    for key, value in options.items():
        words += _option(key, value)
    return shlex.join([*words, "-o", str(source.reuse.folder / cell.name)])


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
