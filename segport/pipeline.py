"""The pipeline in one function: export, quantize, validate, report, gate, package."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from export.artifact.artifact import Artifact
from export.common.errors import UsageError
from export.common.files import check_writable
from export.common.heap import release_freed_memory
from export.common.progress import Stages
from export.common.tables import known
from quantize.quantization import check_settings, quantize_all
from segport import dependencies
from segport.fastest import run_race
from segport.making import files_of, fp32_of, loaded, order_of
from segport.packaging.packaging import package
from segport.recipe import Recipe
from segport.recipe_values import artifact_id_of, conditions_of, request_of, settings_of, weights_of
from segport.stages import Reuse
from validate.data.datasets import open_dataset
from validate.data.download import fetch
from validate.gating.baseline.baseline import load_baseline
from validate.gating.gate import gate
from validate.gating.verdict import Outcome, Verdict
from validate.judging.comparison import validate
from validate.judging.overlap import refuse_overlap, same_files
from validate.report.report import report
from validate.result.result import RESULT_FILE, Result, load_result, result_files
from validate.runtime.runtimes import open_runtime
from validate.runtime.table import rebuilds
from validate.samples.protocols import DEFAULT_PROTOCOL, get_protocol
from validate.samples.samples import Preparation, Samples
from validate.samples.traps import refuse_traps
from validate.speed.fastest import Contender

PACKAGE = "package"
"""Folder of the package in that of the run."""


@dataclass(frozen=True)
class RunResult:
    """Artifacts made, results by protocol with their folders, verdicts, pictures, the package.

    `contenders` are int8 files of several targets, each timed on its own runtime.
    """

    artifacts: list[Artifact]
    results: list[tuple[Result, Path]]
    verdicts: list[tuple[str, Verdict]]
    pictures: tuple[Path, ...] = ()
    package: Path | None = None
    contenders: tuple[Contender, ...] = ()


def run(
    recipe: Recipe,
    folder: Path,
    progress: Stages,
    *,
    command: str | None = None,
    force: bool = False,
    download: bool = False,
) -> RunResult:
    """Do everything a recipe says, except, without `force`, what an earlier run did alike.

    Artifacts are written to `folder`, each protocol's report to `folder/<protocol>/`. With
    `download` data sets that are not there are fetched. Raises SegportError as the stages do;
    artifacts that were finished before stay.
    """
    check_writable(folder)
    for protocol in (*recipe.validation.protocols, recipe.data.calibration_protocol):
        if get_protocol(protocol).variable and recipe.model.size != "dynamic":
            raise UsageError(f'recipe: protocol {protocol} needs [model] size = "dynamic"')
    for section in recipe.artifact:
        check_settings(section.precision, settings_of(section))
        request_of(section, recipe)
    _packaged_ids(recipe)
    for source, split in recipe.sources if download else ():
        fetch(source, split, progress.stage("download"))
    validation = open_dataset(recipe.data.validation, "val", suffix=recipe.data.mask_suffix).first(
        recipe.data.limit
    )
    calibration = open_dataset(recipe.data.calibration, "train", masks=False).sample(
        recipe.data.samples, recipe.data.seed
    )
    refuse_overlap(same_files(calibration, validation), validation, recipe.validation.allow_overlap)
    if recipe.gate and recipe.gate.baseline and Path(recipe.gate.baseline).exists():
        load_baseline(Path(recipe.gate.baseline))  # a new one is made from this run's result
    reuse = Reuse(folder, progress, force)
    common = dependencies.everywhere()
    fp32 = fp32_of(recipe, folder, reuse, common)
    labelled = Preparation.for_artifact(
        fp32.manifest, DEFAULT_PROTOCOL, recipe.data.labels or validation.labels
    )
    refuse_traps(validation, labelled, recipe.data.accept)
    protocol = recipe.data.calibration_protocol
    samples = Samples(calibration, Preparation.for_artifact(fp32.manifest, protocol))
    common |= dependencies.of_artifact(fp32)
    drawn = dependencies.of_images(calibration)
    stages = [
        reuse.stage(
            f"quantize {artifact_id_of(section)}",
            common | dependencies.of_quantization(section, recipe, calibration, drawn),
        )
        for section in recipe.artifact
    ]
    todo = [pair for pair in zip(recipe.artifact, stages, strict=True) if not pair[1].done]
    if todo:
        from validate.report.frontier_plot import write_frontier  # imports matplotlib

        _check_runtime(recipe, fp32)
        orders = [order_of(section, stage, recipe, fp32, calibration) for section, stage in todo]
        for order, made in quantize_all(
            fp32,
            orders,
            folder,
            samples=samples,
            progress=progress.later("calibrate"),
        ):
            todo[orders.index(order)][1].finish([*files_of(made), *write_frontier(made)])
            release_freed_memory()
    artifacts = [fp32, *(loaded(stage) for stage in stages)]
    common |= dependencies.of_validation(recipe, artifacts)
    judged_on = dependencies.of_images(validation)
    results: list[tuple[Result, Path]] = []
    verdicts: list[tuple[str, Verdict]] = []
    timed: Result | None = None
    for protocol in recipe.validation.protocols:
        target = folder / protocol
        stage = reuse.stage(f"validate {protocol}", common | {"validation images": judged_on})
        if not stage.done:
            stage.begin()
            timed = validate(
                artifacts,
                recipe.data.validation,
                target,
                conditions_of(recipe, protocol),
                timed_with=timed,
                command=command,
                progress=progress,
            )
            stage.finish(result_files(target))
        result = load_result(target / RESULT_FILE)
        results.append((result, target))
        judged: list[Verdict] = []
        try:
            judged = _gate(recipe, result, target)
        finally:  # a report is there also when the gate cannot judge
            _report(target, judged, reuse, common)
        verdicts += [(protocol, verdict) for verdict in judged]
    packaged = _package(recipe, artifacts, results[0][1], verdicts, folder, reuse)
    failed = {verdict.id for _, verdict in verdicts if verdict.outcome is Outcome.FAIL}
    contenders = tuple(run_race(artifacts, failed))
    return RunResult(artifacts, results, verdicts, package=packaged, contenders=contenders)


def _packaged_ids(recipe: Recipe) -> list[str]:
    """Return what the recipe's package has, in its order; UsageError for what no run makes."""
    made = {id: id for id in ("fp32", *map(artifact_id_of, recipe.artifact))}
    wanted = recipe.package.variants if recipe.package else None
    return [known("variant of [package]", id, made) for id in (wanted or made)]


def _package(
    recipe: Recipe,
    artifacts: Sequence[Artifact],
    judged: Path,
    verdicts: Sequence[tuple[str, Verdict]],
    folder: Path,
    reuse: Reuse,
) -> Path | None:
    """Write the package, of the result in `judged`; None where the recipe has none."""
    section, target = recipe.package, folder / PACKAGE
    if section is None:
        return None
    by_id = {artifact.manifest.id: artifact for artifact in artifacts}
    chosen = [by_id[id] for id in _packaged_ids(recipe)]
    own = [verdict for protocol, verdict in verdicts if protocol == judged.name]
    stage = reuse.stage("package", dependencies.of_package(recipe, chosen, judged, own))
    if not stage.done:
        package(
            chosen,
            target,
            samples=Path(section.samples) if section.samples else None,
            layout=section.layout,
            result=judged,
            verdicts=own,
            licence=section.licence,
            source=section.source,
            key=Path(section.sign) if section.sign else None,
            certificates=Path(section.certificates) if section.certificates else None,
            force=True,
            progress=stage.begin(),
        )
        stage.finish(path for path in sorted(target.rglob("*")) if path.is_file())
    return target


def _report(
    target: Path, verdicts: Sequence[Verdict], reuse: Reuse, common: dependencies.Inputs
) -> None:
    shown = dependencies.of_report(target, verdicts)
    stage = reuse.stage(f"report {target.name}", common | shown)
    if not stage.done:
        stage.begin()
        written = report(target / RESULT_FILE, target, verdicts=verdicts)
        stage.finish(path for path in written if path not in result_files(target))


def _check_runtime(recipe: Recipe, fp32: Artifact) -> None:
    """Open the recipe's runtime now: whether it is here should not show after quantization."""
    chosen = recipe.validation
    if chosen.runtime is not None:
        weights = weights_of(recipe) if rebuilds(chosen.runtime) else None
        open_runtime(fp32, chosen.runtime, weights=weights, allow_fallback=chosen.allow_fallback)


def _gate(recipe: Recipe, result: Result, folder: Path) -> list[Verdict]:
    if recipe.gate is None:
        return []
    return gate(
        result,
        folder=folder,
        baseline=Path(recipe.gate.baseline) if recipe.gate.baseline else None,
        artifacts=None,
        rules=recipe.gate.rules(allow_overlap=recipe.validation.allow_overlap),
        **recipe.gate.budgets,
    )
