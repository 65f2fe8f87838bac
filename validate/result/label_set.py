"""Which labels the figures were computed with, as far as a file says."""

from dataclasses import dataclass

from validate.result.facts import DatasetFacts


@dataclass(frozen=True)
class LabelSet:
    """`sha256` is that of the masks; None without labels, and in files of earlier versions."""

    labelled: bool
    sha256: str | None

    @classmethod
    def of(cls, facts: DatasetFacts) -> "LabelSet":
        """Return a result's label set."""
        return cls(facts.labelled, facts.labels_sha256)

    def differs(self, other: "LabelSet") -> bool:
        """Whether the two are known to differ; having labels or none is a difference too.

        Two labelled sets of which one has no digest may be the same.
        """
        if self.labelled != other.labelled:
            return True
        return None not in (self.sha256, other.sha256) and self.sha256 != other.sha256

    def __str__(self) -> str:
        if not self.labelled:
            return "no labels"
        return f"labels (masks {self.sha256[:12]})" if self.sha256 else "labels (masks unrecorded)"
