"""Recipes as files: read, checked, and with their paths resolved."""

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from export.common.errors import UsageError, first_line
from export.common.files import file_text
from export.common.remote import is_url
from export.networks.table import zoo_entry
from segport.recipe import (
    ArtifactSection,
    DataSection,
    GateSection,
    ModelSection,
    PackageSection,
    Recipe,
    ValidateSection,
)
from validate.samples.label_map import LABEL_MAPS


def load_recipe(file: Path) -> Recipe:
    """Read a recipe and resolve its paths.

    Raises UsageError naming the place for TOML that cannot be parsed, a missing key, a wrong
    value, and an unknown key (with the nearest valid one).
    """
    return recipe_of(read_toml(file), file)


def read_toml(file: Path) -> dict[str, Any]:
    """Return what a recipe's file holds; raise UsageError where that is no TOML."""
    try:
        return tomllib.loads(file_text(file))
    except OSError as error:
        raise UsageError(f"recipe {file}: cannot read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # also 5,000 digits, or as many brackets
        raise UsageError(f"recipe {file}: not valid TOML ({first_line(error)})") from error


def recipe_of(content: Mapping[str, Any], file: Path) -> Recipe:
    """Return the recipe that is the content of `file`; raises as `load_recipe`."""
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"recipe {file}: {_explain(error)}") from error
    _check_model(recipe.model, file)
    reference = recipe.validation.reference
    if recipe.model.onnx is not None and reference not in (None, "fp32"):
        raise UsageError(f"recipe {file}: [validate] reference {reference} needs an exported model")
    return _resolved(recipe, file.parent)


def _explain(error: ValidationError) -> str:
    # a misspelt section is both unknown and missing: the first says more
    first = min(error.errors(), key=lambda error_: error_["type"] != "extra_forbidden")
    location = [str(part) for part in first["loc"]]
    where = ".".join(location)
    if first["type"] != "extra_forbidden":
        return f"{where}: {first['msg'].removeprefix('Value error, ')}"
    valid = _keys_at([part for part in location[:-1] if not part.isdigit()])
    near = get_close_matches(location[-1], valid, n=1, cutoff=0.4)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"unknown key '{where}': {hint}valid are {', '.join(sorted(valid))}"


def _keys_at(path: list[str]) -> list[str]:
    sections: dict[str, type[BaseModel]] = {
        "model": ModelSection,
        "data": DataSection,
        "artifact": ArtifactSection,
        "validate": ValidateSection,
        "gate": GateSection,
        "package": PackageSection,
    }
    model = sections.get(path[0], Recipe) if path else Recipe
    return [field.alias or name for name, field in model.model_fields.items()]


def _check_model(model: ModelSection, file: Path) -> None:
    if (model.name is None) == (model.onnx is None):
        raise UsageError(f"recipe {file}: [model] needs either name or onnx")
    if model.name is not None and model.weights is None:
        raise UsageError(f"recipe {file}: [model] needs weights: a file, 'default' or 'random'")
    if model.name is not None:
        try:
            zoo_entry(model.name)
        except UsageError as error:
            raise UsageError(f"recipe {file}: [model] {error}") from error
    imported = ("range", "layout", "channels")
    if model.name is not None and (wrong := [k for k in imported if getattr(model, k)]):
        raise UsageError(f"recipe {file}: [model] {wrong[0]} goes with onnx, not with name")


def _classes(text: str | None, folder: Path) -> str | None:
    """Return a file of class names as its path, names themselves as they are."""
    file = text is not None and ((folder / text).is_file() or "." in text)
    return str(folder / text) if file and text is not None else text


def _name(text: str | None, folder: Path) -> str | None:
    """Return `hf:FOLDER` with the folder's path, any other name as it is."""
    prefix, _, source = (text or "").partition(":")
    return f"hf:{folder / source}" if prefix == "hf" else text


def _resolved(recipe: Recipe, folder: Path) -> Recipe:
    def path(text: str | None, *words: str) -> str | None:
        return text if text is None or text in words else str(folder / text)

    def images(text: str) -> str:
        return text if is_url(text) else str(folder / text)

    model = recipe.model.model_copy(
        update={
            "name": _name(recipe.model.name, folder),
            "weights": path(recipe.model.weights, "default", "random"),
            "onnx": path(recipe.model.onnx),
            "classes": _classes(recipe.model.classes, folder),
        }
    )
    data = recipe.data.model_copy(
        update={
            "calibration": images(recipe.data.calibration),
            "validation": images(recipe.data.validation),
            "labels": path(recipe.data.labels, *LABEL_MAPS),
        }
    )
    artifacts = tuple(
        section.model_copy(update={"data": section.data and images(section.data)})
        for section in recipe.artifact
    )
    gate = recipe.gate and recipe.gate.model_copy(update={"baseline": path(recipe.gate.baseline)})
    package = recipe.package and recipe.package.model_copy(
        update={
            name: path(getattr(recipe.package, name))
            for name in ("samples", "sign", "certificates")
        }
    )
    update = {
        "model": model, "data": data, "artifact": artifacts, "gate": gate, "package": package,
    }  # fmt: skip
    return recipe.model_copy(update=update)
