"""What each stage of a run depends on, by name, as values that JSON can say.

Files count by their contents, not by where they lie.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

import export
import quantize
import segport
import validate
from export.artifact.artifact import Artifact
from export.common.files import sha256_of
from export.common.versions import versions
from export.ort.providers import cuda_device
from export.ort.sessions import cpu_facts
from segport.packaging.samples import COUNT
from segport.recipe import ArtifactSection, Recipe
from segport.recipe_values import reference_of, request_of, runtime_of, settings_of
from segport.searching import judges
from validate.data.items import Dataset, Item
from validate.gating.verdict import Verdict
from validate.predict.frames import find_frames
from validate.result.result import result_files

Inputs = dict[str, Any]


def everywhere() -> Inputs:
    """Return what every stage depends on: Segport's own code, packages and the machine."""
    return {
        "Segport's code": _code(),
        "versions": versions() | _required(),
        "machine": [cpu_facts(), cuda_device()],
    }


def of_export(recipe: Recipe) -> Inputs:
    """Return what the fp32 file depends on: the `[model]` section and the files it names."""
    model = recipe.model
    files = {"weights", "onnx", "classes"}
    return {
        "name": recipe.name,
        "[model]": model.model_dump(mode="json", exclude=files),
        "weights": _named(model.weights),
        "onnx file": model.onnx and [Path(model.onnx).name, _onnx_contents(Path(model.onnx))],
        "classes": _named(model.classes),
    }


def of_artifact(artifact: Artifact) -> Inputs:
    """Return what stages depend on that read an artifact: its bytes and its manifest.

    Without an fp32 one's parity figures, which no stage reads: their last digits may vary.
    """
    unread = {"checks"} if artifact.manifest.precision == "fp32" else set[str]()
    return {
        f"{artifact.manifest.id} file": artifact.manifest.model_dump(mode="json", exclude=unread)
    }


def of_quantization(
    section: ArtifactSection, recipe: Recipe, calibration: Dataset, drawn: Any
) -> Inputs:
    """Return what an artifact depends on beside fp32; `drawn` is `of_images(calibration)`."""
    inputs: Inputs = {
        "settings": asdict(settings_of(section).resolved()),
        "calibration protocol": recipe.data.calibration_protocol,
        "seed": recipe.data.seed,
        "calibration images": drawn,
        "min_self_agreement": section.min_self_agreement,
        "force": section.force,
    }
    if request := request_of(section, recipe):
        inputs["budget"] = asdict(request.budget)
        inputs["search_minutes"] = request.minutes
        suffix = recipe.data.mask_suffix
        inputs["scoring images"] = of_images(judges(request, calibration, recipe.data.seed, suffix))
        inputs["labels"] = _named(recipe.data.labels)
    return inputs


def of_validation(recipe: Recipe, artifacts: Sequence[Artifact]) -> Inputs:
    """Return what results depend on beside images; the protocol is in the name of the stage."""
    inputs: Inputs = {
        "[validate]": recipe.validation.model_dump(mode="json", exclude={"protocols"}),
        "reference": reference_of(recipe),
        "labels": [_named(recipe.data.labels), recipe.data.mask_suffix, recipe.data.accept],
        "runtimes": [runtime_of(recipe, artifact) for artifact in artifacts],
    }
    for artifact in artifacts:
        inputs |= of_artifact(artifact)
    return inputs


def of_images(dataset: Dataset) -> Any:
    """Return id and contents of every image and label. Raises DataError for an unreadable one."""
    return [[dataset.name, dataset.split], [_contents(item) for item in dataset.items]]


def of_report(folder: Path, verdicts: Sequence[Verdict]) -> Inputs:
    """Return what the report of the result in `folder` shows."""
    return {
        "result": {path.name: sha256_of(path) for path in result_files(folder)},
        "verdicts": [asdict(verdict) for verdict in verdicts],
    }


def of_package(
    recipe: Recipe, artifacts: Sequence[Artifact], judged: Path, verdicts: Sequence[Verdict]
) -> Inputs:
    """Return what a package depends on: its section, its artifacts in order, and their result."""
    section = recipe.package
    assert section is not None
    samples = find_frames(Path(section.samples), judged.parent) if section.samples else ()
    found = everywhere() | of_report(judged, verdicts)
    found["[package]"] = section.model_dump(mode="json", exclude={"samples", "sign"})
    found["variants"] = [artifact.manifest.sha256 for artifact in artifacts]
    found["key"] = _named(section.sign)
    found["certificates"] = _named(section.certificates)
    found["samples"] = [sha256_of(frame.file) for frame in samples[:COUNT]]
    return found


def _code() -> list[str]:
    """Return a digest per file of the four packages; a version would miss an edited file."""
    folders = [
        Path(str(package.__file__)).parent for package in (export, quantize, segport, validate)
    ]
    return [
        f"{path.relative_to(folder.parent)} {sha256_of(path)}"
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ]


def _required() -> dict[str, str]:
    """Return the versions of what Segport says it requires, as far as it is installed."""
    required = {}
    try:
        names = [re.split(r"[^\w.-]", line)[0] for line in requires("segport") or ()]
    except PackageNotFoundError:  # run from its source
        return {}
    for name in names:
        try:
            required[name] = version(name)
        except PackageNotFoundError:  # of an extra
            continue
    return required


def _named(source: str | None) -> Any:
    """Return name and sha256 where `source` is a file; anything else stays as it is."""
    path = Path(source or "")
    return [path.name, sha256_of(path)] if path.is_file() else source


def _onnx_contents(file: Path) -> str:
    """Return a digest of a network with the weights that it may keep in files beside it."""
    try:
        data = onnx.load(file).SerializeToString(deterministic=True)
    except (DecodeError, onnx.checker.ValidationError, ValueError, OSError):
        return "unreadable"  # which the import explains
    return hashlib.sha256(data).hexdigest()


def _contents(item: Item) -> list[str | None]:
    return [item.id, item.image_sha256, item.mask_sha256]
