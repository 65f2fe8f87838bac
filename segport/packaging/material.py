"""All that the files of a package are made of."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from segport.packaging.findings import Findings
from segport.packaging.layouts import Layout
from segport.packaging.samples import Sample
from segport.packaging.variants import Variant


@dataclass(frozen=True)
class Material:
    """Variants in order, pictures with expected masks, and the result where there is one.

    `licence` and `source` of the weights are what the user says of them, None: nothing.
    """

    variants: tuple[Variant, ...]
    layout: Layout
    samples: tuple[Sample, ...]
    findings: Findings | None = None
    licence: str | None = None
    source: str | None = None

    @property
    def name(self) -> str:
        """The network's name."""
        return self.variants[0].manifest.name

    def place(self, variant: Variant) -> PurePosixPath:
        """Where a variant's model lies in the package."""
        return self.layout.place(variant)
