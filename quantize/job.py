"""One call of `quantize`: what a file is made of, and which images it has used."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from export.artifact.artifact import Artifact
from export.artifact.manifest import ImageRef
from export.artifact.sample import Origin, Sample, origin_of
from export.common.progress import Progress
from quantize.settings import Settings

if TYPE_CHECKING:
    from quantize.search.search import Search


class Recorded(Sequence[Sample]):
    """Passes samples through and remembers which were used."""

    def __init__(self, samples: Sequence[Sample], used: dict[str, ImageRef] | None = None) -> None:
        self._samples = samples
        self.used: dict[str, ImageRef] = {} if used is None else used

    @property
    def origin(self) -> Origin:
        """How the samples came about."""
        return origin_of(self._samples)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Recorded(self._samples[index], self.used)
        return self._note(self._samples[index])

    def __iter__(self) -> Any:
        return (self._note(sample) for sample in self._samples)

    def identities(self) -> list[ImageRef]:
        """Return id and sha256 of all samples, which counts as having used them."""
        cheap = getattr(self._samples, "identities", None)
        images = list(cheap()) if cheap else [ImageRef(id=s.id, sha256=s.sha256) for s in self]
        self.note(*images)
        return images

    def note(self, *images: ImageRef) -> None:
        """Count images as used."""
        self.used.update({image.id: image for image in images})

    def _note(self, sample: Sample) -> Sample:
        self.used[sample.id] = ImageRef(id=sample.id, sha256=sample.sha256)
        return sample


@dataclass(frozen=True)
class Job:
    """One file to make of `artifact`. `settings` are resolved; `samples` calibrate."""

    artifact: Artifact
    samples: Recorded
    settings: Settings
    search: "Search | None"
    progress: Progress
