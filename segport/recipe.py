"""A run, described in TOML."""

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    create_model,
    model_validator,
)

from export.common.errors import UsageError, first_line
from export.common.files import file_text
from export.common.remote import is_url
from export.networks.table import zoo_entry
from quantize.search.clock import MINUTES
from segport import defaults
from segport import recipe_names as names
from segport.packaging.layouts import DEFAULT_LAYOUT
from validate.gating.budgets import parse_key
from validate.gating.kinds import KINDS
from validate.gating.rules import (
    AGREEMENT_TOLERANCE,
    CLASS_TOLERANCE,
    TOLERANCE,
    Rules,
)
from validate.samples.label_map import LABEL_MAPS
from validate.samples.protocols import DEFAULT_PROTOCOL

Dynamic = Literal["dynamic"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSection(_Section):
    """What to export: a zoo name or `package.module:callable`, or an ONNX file to import.

    `onnx` and the keys after it belong together and exclude those of an export; they are the
    options of `segport import`.
    """

    name: str | None = None
    weights: str | None = None
    weights_key: str | None = None
    seed: int = defaults.SEED
    output_stride: int | None = None
    size: tuple[int, int] | Dynamic | None = None
    batch: int | Dynamic = 1
    output: names.Output = defaults.OUTPUT
    classes: str | None = None
    onnx: str | None = None
    mean: tuple[FiniteFloat, ...] | None = None
    std: tuple[FiniteFloat, ...] | None = None
    range: names.ValueRange | None = None
    layout: names.Layout | None = None
    channels: names.Channels | None = None
    output_name: str | None = None
    kind: names.Kind | None = None
    threshold: FiniteFloat = defaults.THRESHOLD


class DataSection(_Section):
    """Calibration and validation data (`ROOT[:SPLIT]` or a folder) and how much of it.

    `labels`, `mask_suffix` and `accept` are the options of `segport validate`.
    """

    calibration: str
    samples: int = defaults.SAMPLES
    seed: int = defaults.SEED
    calibration_protocol: names.Protocol = DEFAULT_PROTOCOL
    validation: str
    limit: int | None = None
    labels: str | None = None
    mask_suffix: str | None = None
    accept: tuple[names.Trap, ...] = ()


class ArtifactSection(_Section):
    """One artifact to make beside fp32.

    `with`, `skip`, `max_drop`, `min_agreement`, `search_minutes`, `min_self_agreement`, `force`
    and `data` are options of `segport quantize`.
    """

    precision: names.Precision
    target: names.Target = "cpu"
    range: names.RangeRule | None = None
    added: tuple[names.Method, ...] = Field(default=(), alias="with")
    skip: tuple[names.Method, ...] = ()
    max_drop: FiniteFloat | None = None
    min_agreement: FiniteFloat | None = None
    search_minutes: FiniteFloat = MINUTES
    min_self_agreement: FiniteFloat = Field(default=defaults.MIN_SELF_AGREEMENT, ge=0, le=100)
    force: bool = False
    data: str | None = None
    io: names.IoType = defaults.IO_TYPE
    guard: bool = True
    keep_float: tuple[str, ...] = ()


class ValidateSection(_Section):
    """Protocols to compare under, and the reference; by default torch, fp32 for imports.

    `runtime` is that of all artifacts; by default each precision's own. `pictures`, `noise`
    and `accumulate`: as the options of `segport validate`.
    """

    protocols: tuple[names.Protocol, ...] = (DEFAULT_PROTOCOL,)
    reference: names.Reference | None = None
    runtime: names.Runtime | None = None
    allow_fallback: bool = False
    allow_overlap: bool = False
    pictures: int = Field(default=0, ge=0)
    noise: bool = False
    accumulate: names.Accumulator | None = None


class _GateOptions(_Section):
    """A baseline file, and one table per kind of budget: limits by what they are for."""

    baseline: str | None = None
    tolerance: FiniteFloat = Field(default=TOLERANCE, ge=0)
    class_tolerance: FiniteFloat = Field(default=CLASS_TOLERANCE, ge=0)
    agreement_tolerance: FiniteFloat = Field(default=AGREEMENT_TOLERANCE, ge=0)
    max_drift: FiniteFloat | None = Field(default=None, ge=0)
    confidence: FiniteFloat | None = Field(default=None, ge=50, lt=100)
    on_inconclusive: names.OnInconclusive | None = None

    @model_validator(mode="after")
    def _has_budget(self) -> "_GateOptions":
        if not self.budgets and self.baseline is None:
            raise ValueError(f"needs {', '.join(KINDS)} or baseline")
        return self

    def rules(self, *, allow_overlap: bool) -> Rules:
        """How the section judges; a run whose recipe allows overlap has said so already."""
        return Rules(
            tolerance=self.tolerance,
            class_tolerance=self.class_tolerance,
            agreement_tolerance=self.agreement_tolerance,
            max_drift=self.max_drift,
            confidence=self.confidence,
            on_inconclusive=self.on_inconclusive,
            allow_overlap=allow_overlap,
        )

    @property
    def budgets(self) -> dict[str, dict[str, float]]:
        """Limits by kind of budget and by what they are for."""
        return {kind: getattr(self, kind) for kind in KINDS if getattr(self, kind)}


def _budget_field(kind: str) -> tuple[object, object]:
    """Return the field of one kind of budget: its keys and limits are checked as they are read."""

    def check_key(key: str) -> str:
        parse_key(kind, key)
        return key

    key = Annotated[str, AfterValidator(check_key)]
    limit = Annotated[float, BeforeValidator(KINDS[kind].unit.parse)]
    return dict[key, limit], Field(default_factory=dict)


if TYPE_CHECKING:
    GateSection = _GateOptions
else:
    GateSection = create_model(
        "GateSection", __base__=_GateOptions, **{kind: _budget_field(kind) for kind in KINDS}
    )


class PackageSection(_Section):
    """What a package is made of, as `segport package` takes it.

    `variants` are ids of the run's artifacts in the order that onnxruntime chooses by; all by
    default. `samples` is an image or a folder, `sign` a private key, `certificates` are of it.
    """

    variants: tuple[str, ...] | None = None
    samples: str | None = None
    layout: names.PackageLayout = DEFAULT_LAYOUT
    licence: str | None = None
    source: str | None = None
    sign: str | None = None
    certificates: str | None = None


class Recipe(_Section):
    """A whole run. Paths in it are relative to its file."""

    name: str
    model: ModelSection
    data: DataSection
    artifact: tuple[ArtifactSection, ...] = ()
    # "validate" itself would hide a pydantic method
    validation: ValidateSection = Field(default_factory=ValidateSection, alias="validate")
    gate: GateSection | None = None
    package: PackageSection | None = None

    @property
    def sources(self) -> list[tuple[str, str]]:
        """All DATA that the run reads, each with the split it means where it names none."""
        searched = [section.data for section in self.artifact if section.data]
        images = [(data, "train") for data in (self.data.calibration, *searched)]
        return [*images, (self.data.validation, "val")]


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
