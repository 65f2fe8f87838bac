"""A run, described in TOML."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    create_model,
    model_validator,
)

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
