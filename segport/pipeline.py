"""The whole way in one function: export, quantize, validate, report, gate."""

from dataclasses import dataclass
from pathlib import Path

from export.artifact import Artifact
from export.errors import UsageError
from export.files import check_writable
from quantize.quantization import Search, Settings, check_settings, quantize
from segport.fp32 import make_fp32
from segport.progress import Stages
from segport.recipe import ArtifactSection, Recipe
from segport.searching import Request, open_search, requested
from validate.comparison import validate
from validate.data.download import fetch
from validate.datasets import Dataset, open_dataset
from validate.gate import gate
from validate.gating.baseline import load_baseline
from validate.gating.verdict import Verdict
from validate.overlap import refuse_overlap, same_files
from validate.protocols import get_protocol
from validate.report import report
from validate.result import RESULT_FILE, Result
from validate.runtimes import REFERENCES, get_opener, open_runtime
from validate.samples import Preparation, Samples


@dataclass(frozen=True)
class RunResult:
    """Artifacts made, results by protocol with their folders, the gate's verdicts, pictures."""

    artifacts: list[Artifact]
    results: list[tuple[Result, Path]]
    verdicts: list[tuple[str, Verdict]]
    pictures: tuple[Path, ...] = ()


def run(
    recipe: Recipe,
    folder: Path,
    progress: Stages,
    *,
    command: str | None = None,
    download: bool = False,
) -> RunResult:
    """Do everything a recipe says.

    Artifacts are written to `folder`, each protocol's report to `folder/<protocol>/`. With
    `download` data sets that are not there are fetched. Raises SegportError as the stages do;
    artifacts that were finished before stay.
    """
    check_writable(folder)
    if recipe.validation.runtime is not None:
        get_opener(recipe.validation.runtime)
    for protocol in (*recipe.validation.protocols, recipe.data.calibration_protocol):
        if get_protocol(protocol).variable and recipe.model.size != "dynamic":
            raise UsageError(f'recipe: protocol {protocol} needs [model] size = "dynamic"')
    for section in recipe.artifact:
        check_settings(section.precision, settings_of(section, recipe.data.seed))
        _request(section, recipe)
    for source, split in recipe.sources if download else ():
        fetch(source, split, progress.stage("download"))
    validation = open_dataset(recipe.data.validation, "val").first(recipe.data.limit)
    calibration = open_dataset(recipe.data.calibration, "train", masks=False).sample(
        recipe.data.samples, recipe.data.seed
    )
    refuse_overlap(same_files(calibration, validation), validation, recipe.validation.allow_overlap)
    if recipe.gate and recipe.gate.baseline and Path(recipe.gate.baseline).exists():
        load_baseline(Path(recipe.gate.baseline))  # a new one is made from this run's result
    progress.stage("export")
    fp32 = make_fp32(recipe, folder)
    _check_runtime(recipe, fp32)
    samples = _samples(fp32, calibration, recipe.data.calibration_protocol)
    artifacts = [fp32]
    for section in recipe.artifact:
        stage = progress.stage(f"quantize {section.precision}")
        artifacts.append(
            quantize(
                fp32,
                section.precision,
                folder,
                samples=samples,
                protocol=recipe.data.calibration_protocol,
                settings=settings_of(section, recipe.data.seed),
                search=_search(section, recipe, fp32, calibration),
                progress=stage,
            )
        )
    results: list[tuple[Result, Path]] = []
    for protocol in recipe.validation.protocols:
        target = folder / protocol
        result = validate(
            artifacts,
            recipe.data.validation,
            target,
            protocol=protocol,
            reference=_reference(recipe),
            weights=_weights(recipe),
            runtime=recipe.validation.runtime,
            limit=recipe.data.limit,
            allow_overlap=recipe.validation.allow_overlap,
            allow_fallback=recipe.validation.allow_fallback,
            pictures=recipe.validation.pictures,
            command=command,
            progress=progress,
        )
        report(target / RESULT_FILE, target)
        results.append((result, target))
    verdicts = [(r, target, _gate(recipe, r, target)) for r, target in results]
    for _, target, judged in verdicts:
        if judged:  # again, with what the gate said
            report(target / RESULT_FILE, target, verdicts=judged)
    lines = [(r.protocol, verdict) for r, _, judged in verdicts for verdict in judged]
    return RunResult(artifacts, results, lines)


def settings_of(section: ArtifactSection, seed: int) -> Settings:
    """Turn a recipe's artifact section into quantization settings."""
    return Settings(
        target=section.target,
        range=section.range,
        added=section.added,
        skipped=section.skip,
        io=section.io,
        guard=section.guard,
        keep_float=section.keep_float,
        seed=seed,
    )


def _search(
    section: ArtifactSection, recipe: Recipe, fp32: Artifact, calibration: Dataset
) -> Search | None:
    request = _request(section, recipe)
    if request is None:
        return None
    preparation = Preparation.for_artifact(fp32.manifest, recipe.data.calibration_protocol)
    return open_search(request, fp32, calibration, preparation, recipe.data.seed)


def _request(section: ArtifactSection, recipe: Recipe) -> Request | None:
    data = section.data or recipe.data.calibration
    return requested(section.max_drop, section.min_agreement, data)


def _reference(recipe: Recipe) -> str | None:
    chosen = recipe.validation.reference or ("fp32" if recipe.model.onnx else "torch")
    return None if chosen == "fp32" else chosen


def _weights(recipe: Recipe) -> str | None:
    rebuilt = {_reference(recipe), recipe.validation.runtime} & set(REFERENCES)
    return recipe.model.weights if rebuilt else None


def _check_runtime(recipe: Recipe, fp32: Artifact) -> None:
    """Open the recipe's runtime now: whether it is here should not show after quantization."""
    chosen = recipe.validation
    if chosen.runtime is not None:
        weights = _weights(recipe) if chosen.runtime in REFERENCES else None
        open_runtime(fp32, chosen.runtime, weights=weights, allow_fallback=chosen.allow_fallback)


def _samples(artifact: Artifact, dataset: Dataset, protocol: str) -> Samples:
    return Samples(dataset, Preparation.for_artifact(artifact.manifest, protocol))


def _gate(recipe: Recipe, result: Result, folder: Path) -> list[Verdict]:
    if recipe.gate is None:
        return []
    return gate(
        result,
        folder=folder,
        baseline=Path(recipe.gate.baseline) if recipe.gate.baseline else None,
        tolerance=recipe.gate.tolerance,
        class_tolerance=recipe.gate.class_tolerance,
        on_inconclusive=recipe.gate.on_inconclusive,
        **recipe.gate.budgets,
    )
