"""Make a network's files: fp32 once, every cell a stage of its own, failures noted."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.artifact.artifact import Artifact
from export.common.errors import SegportError, first_line
from quantize.quantization import check_settings, quantize_all
from segport import dependencies
from segport.making import files_of, fp32_of, loaded, order_of
from segport.recipe_values import settings_of
from segport.stages import Reuse
from segport.sweep.plan import Cell, Network
from validate.data.datasets import open_dataset
from validate.samples.samples import Preparation, Samples


@dataclass(frozen=True)
class Made:
    """A network's fp32 file, its cells' files by name, and errors by name of the others."""

    fp32: Artifact
    files: Mapping[str, Artifact]
    errors: Mapping[str, str]


def make(network: Network, folder: Path, reuse: Reuse) -> Made:
    """Make all files of a network in folders of `folder`; those of an earlier run stay.

    The statistics that several cells need are collected once (`quantize.calibration.cache`).
    Raises SegportError where there is no fp32 file; what goes wrong with a cell is its error.
    """
    recipe, common = network.recipe, dependencies.everywhere()
    fp32 = fp32_of(recipe, folder, reuse, common)
    calibration = open_dataset(recipe.data.calibration, "train", masks=False).sample(
        recipe.data.samples, recipe.data.seed
    )
    protocol = recipe.data.calibration_protocol
    samples = Samples(calibration, Preparation.for_artifact(fp32.manifest, protocol))
    common |= dependencies.of_artifact(fp32)
    drawn = dependencies.of_images(calibration)
    files, errors = {}, {}
    for cell in network.cells:
        inputs = dependencies.of_quantization(cell.section, recipe, calibration, drawn)
        stage = reuse.stage(f"{network.name}: {cell.name}", common | inputs)
        try:
            if not stage.done:
                check_settings(cell.section.precision, settings_of(cell.section))
                progress = stage.begin()
                order = order_of(cell.section, stage, recipe, fp32, calibration)
                ((_, made),) = quantize_all(
                    fp32, [order], folder / cell.name, samples=samples, progress=progress
                )
                stage.finish(files_of(made))
            files[cell.name] = loaded(stage)
        except Exception as error:  # whatever a library raises, the other cells go on
            errors[cell.name] = reason(error)
            reuse.progress.note(f"{stage.name}: failed: {errors[cell.name]}")
    return Made(fp32, files, errors)


def reason(error: Exception) -> str:
    """Return what went wrong in one line."""
    if isinstance(error, SegportError):
        return " ".join(str(error).split())
    return f"{type(error).__name__}: {first_line(error)}"


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
