"""Where a run starts: the fp32 artifact that a recipe's `[model]` describes."""

from pathlib import Path

from export.artifact import NOMINAL_SIZE, Artifact
from export.errors import UsageError
from export.onnx_import import import_model
from segport.recipe import Recipe


def make_fp32(recipe: Recipe, folder: Path) -> Artifact:
    """Export the network, or import the file, into `folder`. Raises SegportError as they do."""
    model = recipe.model
    if model.onnx is not None:
        if model.size == "dynamic":
            raise UsageError("recipe: [model] size of an imported file is two numbers")
        return import_model(
            Path(model.onnx),
            folder,
            mean=model.mean,
            std=model.std,
            size=model.size,
            classes=model.classes,
            name=recipe.name,
        )
    from export.onnx_export import export_model  # brings torch, which takes its time

    assert model.name is not None and model.weights is not None  # load_recipe checked
    return export_model(
        model.name,
        model.weights,
        folder,
        seed=model.seed,
        size=None if model.size == "dynamic" else model.size or NOMINAL_SIZE,
        batch=None if model.batch == "dynamic" else model.batch,
        output_stride=model.output_stride,
        output=model.output,
        classes=model.classes,
        name=recipe.name,
    )
