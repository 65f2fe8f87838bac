"""What a report shows, each part read when it is first needed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from export.artifact.diagnosis import Diagnosis
from validate.gating.verdict import Verdict
from validate.result.result import CONFUSION_FILE, PICTURE_FILE, Result, load_result

if TYPE_CHECKING:  # report.md waits for none of them
    from validate.metrics.metrics import Confusion
    from validate.result.picture_file import Picture


@dataclass(frozen=True)
class ReportContent:
    """A result and what lies beside it; `verdicts` and `diagnoses` where the caller has some."""

    result_file: Path
    verdicts: Sequence[Verdict] = ()
    diagnoses: Sequence[Diagnosis] = ()

    @cached_property
    def result(self) -> Result:
        """The result; raises DataError when it cannot be read."""
        return load_result(self.result_file)

    @cached_property
    def confusions(self) -> "Mapping[str, Confusion]":
        """Every artifact's matrix, all images together; empty without confusion.npz or labels.

        Raises DataError for a file that is damaged or belongs to another result.
        """
        from validate.result.confusion_file import load_confusions

        if not self.result_file.with_name(CONFUSION_FILE).is_file():
            return {}
        per_image = load_confusions(self.result, self.result_file)
        return {key: matrices.sum(0) for key, matrices in per_image.items()}

    @cached_property
    def pictures(self) -> "Sequence[Picture]":
        """The worst images; empty where none were kept. Raises DataError as `read_pictures`."""
        from validate.result.picture_file import read_pictures

        file = self.result_file.with_name(PICTURE_FILE)
        return read_pictures(self.result, file) if file.is_file() else ()
