"""Results: made by `validate`, shown, reported and judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.common.errors import UsageError
from segport.api.arguments import AnyPath, Data, artifacts_of, data_of, optional_path, path_of
from segport.api.tables import data_frame, html_table
from segport.api.wording import in_python
from segport.progress import stages
from validate.gating.kinds import KINDS, option
from validate.gating.rules import DEFAULTS, Rules
from validate.gating.verdict import Outcome, Verdict, exit_code
from validate.result.result import RESULT_FILE, Result, load_result
from validate.samples.protocols import DEFAULT_PROTOCOL

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

    from export.artifact.artifact import Artifact
    from export.workers.engines import Workers

BudgetLimits = float | str | Mapping[str, float | str] | None
"""A limit for all artifacts but the reference, or limits by what they are for."""


@dataclass(frozen=True, repr=False)
class Gate:
    """What the gate said: a verdict per artifact and budget."""

    verdicts: tuple[Verdict, ...]

    @property
    def exit_code(self) -> int:
        """0 pass, 1 regression, 2 cannot tell."""
        return exit_code(self.verdicts)

    @property
    def passed(self) -> bool:
        """Whether every verdict is a pass."""
        return self.exit_code == 0

    def to_pandas(self) -> "pandas.DataFrame":
        """Return a row per verdict. Raises UsageError where pandas is not there."""
        return data_frame([vars(verdict) for verdict in self.verdicts])

    def __repr__(self) -> str:
        from segport.gate_lines import verdict_lines

        return verdict_lines(self.verdicts)

    def _repr_html_(self) -> str:
        rows = [[v.outcome.upper(), v.id, v.check, v.reason] for v in self.verdicts]
        return html_table(rows, ["", "artifact", "check", "why"])


@dataclass(frozen=True, repr=False)
class Validation:
    """A result, and the `folder` that holds it with the counts it came from."""

    result: Result
    folder: Path

    @in_python
    def gate(self, *, rules: Rules = DEFAULTS, **budgets: Any) -> Gate:
        """Judge it; see `segport.gate`."""
        return gate(self, rules=rules, **budgets)

    @in_python
    def report(self, folder: AnyPath | None = None) -> list[Path]:
        """Write report.md and report.html; see `segport.report`."""
        return report(self, folder)

    def to_pandas(self) -> "pandas.DataFrame":
        """Return a row per artifact: percentages, points, bytes and milliseconds."""
        return data_frame(
            [
                {
                    "id": artifact.id,
                    "runtime": artifact.runtime,
                    "miou": artifact.miou,
                    "drop": artifact.drop,
                    "drop_low": artifact.drop_ci95 and artifact.drop_ci95[0],
                    "drop_high": artifact.drop_ci95 and artifact.drop_ci95[1],
                    "agreement": artifact.agreement,
                    "fidelity_miou": artifact.fidelity_miou,
                    "size_bytes": artifact.size_bytes,
                    "latency_ms": artifact.latency_ms and artifact.latency_ms.median,
                    "int8_macs_share": artifact.int8_macs_share,
                }
                for artifact in self.result.artifacts
            ]
        )

    def plot(self) -> "Figure":
        """Draw each artifact's drop with its 95 % interval, without labels its agreement."""
        from segport.api.plots import loss_plot

        return loss_plot(self.result)

    def __repr__(self) -> str:
        from validate.report.report import terminal_report

        return terminal_report(self.result)

    def _repr_html_(self) -> str:
        from validate.result.result_cells import ARTIFACT_COLUMNS, artifact_rows

        columns = list(ARTIFACT_COLUMNS)
        return html_table(artifact_rows(self.result, columns), columns)


def validation_of(value: object) -> Validation:
    """Return a result, read from its file or folder where `value` is a path."""
    if isinstance(value, Validation):
        return value
    path = path_of(value, "result")
    file = path / RESULT_FILE if path.is_dir() else path
    return Validation(load_result(file), file.parent)


def validate(
    artifacts: "Sequence[Artifact | AnyPath] | Artifact | AnyPath",
    data: Data,
    folder: AnyPath | None = None,
    *,
    protocol: str = DEFAULT_PROTOCOL,
    reference: AnyPath | None = None,
    weights: AnyPath | None = None,
    runtime: str | None = None,
    limit: int | None = None,
    allow_overlap: bool = False,
    allow_fallback: bool = False,
    labels: str | None = None,
    mask_suffix: str | None = None,
    accept: Sequence[str] = (),
    pictures: int = 0,
    noise: bool = False,
    accumulate: str | None = None,
    workers: "Workers | None" = None,
    download: bool = False,
    command: str | None = None,
    progress: bool = True,
) -> Validation:
    """Compare artifacts of one network with their reference.

    Args:
        artifacts: What `export` and `quantize` returned, or .onnx files.
        data: DATA (`ROOT[:SPLIT]`, split val by default), a folder, or images: uint8 arrays, PIL
            images or files, or pairs of one and its mask of class indices.
        folder: Where result.json and confusion.npz are written. Default: a folder named after the
            protocol beside the first artifact.
        protocol: "squash", "center-crop", "full" or "torchvision".
        reference: "torch", "torch-cuda" or an fp32 artifact's file. Default: the fp32 one given.
        weights: With torch: the checkpoint exported from.
        runtime: Of all artifacts. Default: each precision's own.
        limit: Use the first images only.
        allow_overlap: Accept images that calibrated; marks the result.
        allow_fallback: Where a GPU runtime is not there, take what is.
        labels: What values of masks mean: a label map's name or file.
        mask_suffix: What masks' names have after those of images.
        accept: Traps in labels that are known and meant.
        pictures: Keep so many images that agree least.
        noise: Measure what other settings of the runtime change.
        accumulate: "fp16": also run fp16 files with sums in float16, as some devices do.
        workers: `segport.Workers`: count in pieces that are kept until the result is there, so
            that the same call goes on after an end.
        download: Fetch VOC or SBD where it is not there.
        command: What the result says made it.
        progress: Show progress on standard error.

    Raises:
        SegportError: UsageError without a reference, ComparisonError for artifacts that do not
            belong together, DataError for unusable images or images that calibrated.
    """
    out = optional_path(folder, "folder")
    with stages(shown=progress) as shown, data_of(data, "data") as source:
        shown.stage("validate")
        if download:
            from validate.data.download import fetch

            fetch(source, "val", shown.stage("download"))
        from validate.judging.comparison import validate as compare
        from validate.judging.conditions import Conditions

        chosen = artifacts_of(artifacts)
        if out is None:
            if not chosen:
                raise UsageError("validate: give at least one artifact")
            out = chosen[0].path.parent / protocol
        result = compare(
            chosen,
            source,
            out,
            Conditions(
                protocol=protocol,
                reference=None if reference is None else str(reference),
                weights=None if weights is None else str(weights),
                runtime=runtime,
                limit=limit,
                allow_overlap=allow_overlap,
                allow_fallback=allow_fallback,
                labels=labels,
                mask_suffix=mask_suffix,
                accepted=tuple(accept),
                pictures=pictures,
                noise=noise,
                accumulate=accumulate,
                workers=workers,
            ),
            command=command,
            progress=shown,
        )
    return Validation(result, out)


def report(
    result: Validation | AnyPath,
    folder: AnyPath | None = None,
    *,
    formats: Sequence[str] | None = None,
    diagnoses: Sequence[AnyPath] = (),
) -> list[Path]:
    """Write the report of a result; return its files.

    Args:
        result: What `validate` returned, or a result.json or its folder.
        folder: Where to write. Default: beside the result.
        formats: "md" and "html". Default: both.
        diagnoses: Folders of `segport diagnose`, for the layer errors in report.html.

    Raises:
        SegportError: UsageError for an unknown format, DataError for a damaged result.
    """
    from validate.report.report import report as write

    validation = validation_of(result)
    return write(
        validation.folder / RESULT_FILE,
        optional_path(folder, "folder") or validation.folder,
        formats=formats,
        diagnoses=[path_of(diagnosis, "diagnoses") for diagnosis in diagnoses],
    )


def gate(
    result: Validation | AnyPath,
    *,
    baseline: AnyPath | None = None,
    artifacts: AnyPath | None = None,
    rules: Rules = DEFAULTS,
    **budgets: BudgetLimits,
) -> Gate:
    """Judge a result against budgets, a baseline, or both.

    Args:
        result: What `validate` returned, or a result.json or its folder.
        baseline: A baseline file to compare with.
        artifacts: A folder whose files must be those that were judged.
        rules: Tolerances and confidence.
        budgets: Of the kinds of `segport gate --help`, such as `max_drop=0.5` for all artifacts but
            the reference, `max_drop={"int8": 0.5}`, `max_class_drop={"int8:person": 2}`.

    Raises:
        SegportError: UsageError for unknown budgets or none, DataError for damaged files.
    """
    from validate.gating.gate import gate as judge

    validation = validation_of(result)
    return Gate(
        tuple(
            judge(
                validation.result,
                folder=validation.folder,
                baseline=optional_path(baseline, "baseline"),
                artifacts=optional_path(artifacts, "artifacts"),
                rules=rules,
                **{
                    kind: _limits(kind, limit, validation.result) for kind, limit in budgets.items()
                },
            )
        )
    )


def _limits(kind: str, limit: BudgetLimits, result: Result) -> Mapping[str, float | str] | None:
    if limit is None or isinstance(limit, Mapping):
        return limit
    if kind in KINDS and KINDS[kind].per_class:
        raise UsageError(f"{option(kind)}: name the class, as {kind}={{'person': {limit}}}")
    return {artifact.id: limit for artifact in result.artifacts if artifact.id != result.reference}


__all__ = ["Gate", "Outcome", "Validation", "gate", "report", "validate"]
