"""What validation found of the packaged files: the result, and the gate's verdicts on it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from export.common.errors import DataError
from segport.packaging.layouts import Contents
from segport.packaging.variants import Variant
from validate.gating.verdict import Verdict
from validate.report.report import report
from validate.result.result import RESULT_FILE, ArtifactResult, Result, load_result
from validate.samples.protocols import DEFAULT_PROTOCOL


@dataclass(frozen=True)
class Findings:
    """A result and its verdicts; `files` are report and result as they were written."""

    result: Result
    verdicts: tuple[Verdict, ...]
    files: tuple[Path, ...]

    def contents(self) -> Contents:
        """The report's files, in a folder of the package."""
        return {f"report/{file.name}": file for file in self.files}

    def of(self, variant: Variant) -> ArtifactResult | None:
        """What was found of a variant; None where it was not judged."""
        return next(
            (one for one in self.result.artifacts if one.sha256 == variant.manifest.sha256), None
        )


def read_findings(
    given: Path | None, variants: Sequence[Variant], verdicts: Sequence[Verdict], folder: Path
) -> Findings | None:
    """Write the report of a result into `folder` and return it.

    `given` is a result.json or its folder; None: one of the same files that lies beside them, or
    in a folder beside them, the default protocol's first. Raises DataError for a result of other
    files.
    """
    file = _beside(variants) if given is None else given / RESULT_FILE if given.is_dir() else given
    if file is None:
        return None
    result = load_result(file)
    if not _judged(result, variants):
        raise DataError(
            f"{file}: judges none of these files (its sha256 are others); "
            "run 'segport validate' on them"
        )
    return Findings(result, tuple(verdicts), tuple(report(file, folder, verdicts=verdicts)))


def _judged(result: Result, variants: Sequence[Variant]) -> bool:
    hashes = {artifact.sha256 for artifact in result.artifacts}
    return any(variant.manifest.sha256 in hashes for variant in variants)


def _beside(variants: Sequence[Variant]) -> Path | None:
    folder = variants[0].artifact.path.parent
    files = [folder / RESULT_FILE, folder / DEFAULT_PROTOCOL / RESULT_FILE]
    files += sorted(folder.glob(f"*/{RESULT_FILE}"))
    return next((file for file in files if file in _fitting(files, variants)), None)


def _fitting(files: Sequence[Path], variants: Sequence[Variant]) -> Iterator[Path]:
    """Yield results of these files; what cannot be read was not asked for."""
    for file in files:
        try:
            if file.is_file() and _judged(load_result(file), variants):
                yield file
        except DataError:
            continue
