"""Where a run starts: the fp32 artifact that a recipe's `[model]` describes."""

import sys
from pathlib import Path
from typing import Any

from export.artifact.artifact import Artifact, write_artifact
from export.artifact.size import NOMINAL_SIZE
from export.common.child import in_child
from export.common.files import scratch_folder
from export.onnx_import import import_model
from segport.recipe import ModelSection, Recipe

_EXPORT = "export.onnx_export:export_model"


def make_fp32(recipe: Recipe, folder: Path) -> Artifact:
    """Export the network, or import the file, into `folder`. Raises SegportError as they do.

    An export runs in a process of its own, so that the exporter's memory is free afterwards,
    and torch's 650 MB as long as nothing here needs it; a network that only this process has is
    exported here.
    """
    model = recipe.model
    if model.onnx is not None:
        return import_model(
            Path(model.onnx),
            folder,
            mean=model.mean,
            std=model.std,
            size=model.size,
            classes=model.classes or "voc",
            name=recipe.name,
            range_=model.range,
            layout=model.layout,
            channels=model.channels,
            output_name=model.output_name,
            kind=model.kind,
            threshold=model.threshold,
        )
    named = _export_options(recipe)
    if _only_in_this_process(model):
        from export.onnx_export import export_model  # brings torch, which takes its time

        return export_model(folder=folder, **named)
    with scratch_folder() as scratch:
        made = Path(scratch, "made")
        with in_child(Path(scratch), _EXPORT, folder=made, **named) as result:
            artifact: Artifact = result()
        return write_artifact(artifact.path.read_bytes(), artifact.manifest, folder)


def _export_options(recipe: Recipe) -> dict[str, Any]:
    """Return the arguments of `export_model`, all but the folder."""
    model = recipe.model
    return {
        "model": model.name,
        "weights": model.weights,
        "weights_key": model.weights_key,
        "output_name": model.output_name,
        "kind": model.kind,
        "threshold": model.threshold,
        "mean": model.mean,
        "std": model.std,
        "seed": model.seed,
        "size": None if model.size == "dynamic" else model.size or NOMINAL_SIZE,
        "batch": None if model.batch == "dynamic" else model.batch,
        "output_stride": model.output_stride,
        "output": model.output,
        "classes": model.classes,
        "name": recipe.name,
    }


def _only_in_this_process(model: ModelSection) -> bool:
    """Whether the network's code is in this process and in no file that another could import."""
    code, colon, _ = (model.name or "").partition(":")
    if code == "__main__":
        return True
    return bool(colon) and code in sys.modules and not hasattr(sys.modules[code], "__file__")
