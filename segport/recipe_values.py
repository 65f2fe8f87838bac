"""What a recipe says, as arguments of the functions that do it."""

from export.artifact.artifact import Artifact
from export.artifact.manifest import artifact_id
from quantize.settings import Settings
from segport.recipe import ArtifactSection, Recipe
from segport.searching import Request, requested
from validate.judging.conditions import Conditions
from validate.runtime.runtimes import default_runtime
from validate.runtime.table import rebuilds


def settings_of(section: ArtifactSection) -> Settings:
    """Turn a recipe's artifact section into quantization settings."""
    return Settings(
        target=section.target,
        range=section.range,
        added=section.added,
        skipped=section.skip,
        io=section.io,
        guard=section.guard,
        keep_float=section.keep_float,
    )


def request_of(section: ArtifactSection, recipe: Recipe) -> Request | None:
    """Return the precision search that an artifact asks for, None for none. Raises UsageError."""
    data = section.data or recipe.data.calibration
    return requested(section.max_drop, section.min_agreement, data, section.search_minutes)


def artifact_id_of(section: ArtifactSection) -> str:
    """Return the id that the artifact will have, such as `int8@npu`."""
    return artifact_id(section.precision, section.target if section.precision == "int8" else None)


def reference_of(recipe: Recipe) -> str | None:
    """Return the reference as `validate` takes it; None is the fp32 artifact."""
    chosen = recipe.validation.reference or ("fp32" if recipe.model.onnx else "torch")
    return None if chosen == "fp32" else chosen


def weights_of(recipe: Recipe) -> str | None:
    """Return the checkpoint where the torch network has to be built again, else None."""
    rebuilt = map(rebuilds, (reference_of(recipe), recipe.validation.runtime))
    return recipe.model.weights if any(rebuilt) else None


def runtime_of(recipe: Recipe, artifact: Artifact) -> str:
    """Return the name of the runtime; by default, float16 files have another without a GPU."""
    return recipe.validation.runtime or default_runtime(artifact.manifest)


def conditions_of(recipe: Recipe, protocol: str) -> Conditions:
    """Return how a recipe's artifacts are judged under one of its protocols."""
    return Conditions(
        protocol=protocol,
        reference=reference_of(recipe),
        weights=weights_of(recipe),
        runtime=recipe.validation.runtime,
        allow_fallback=recipe.validation.allow_fallback,
        limit=recipe.data.limit,
        allow_overlap=recipe.validation.allow_overlap,
        labels=recipe.data.labels,
        mask_suffix=recipe.data.mask_suffix,
        accepted=recipe.data.accept,
        pictures=recipe.validation.pictures,
        noise=recipe.validation.noise,
        accumulate=recipe.validation.accumulate,
    )
