"""Judge a file that takes any height and width at a second size as well.

A file may keep what a Reshape or Resize was traced with, and agree at that size alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from export.artifact.manifest import Manifest
from export.artifact.second_size import second_size
from export.common.progress import Progress, silent
from validate.counting.evaluation import Evaluation, evaluate
from validate.data.items import Dataset
from validate.result.evidence import Evidence
from validate.result.facts import SecondSizeFacts
from validate.runtime.engine import Runtime
from validate.samples.protocols import get_protocol
from validate.samples.samples import Preparation

IMAGES = 8
"""Enough to see a file that breaks; how much a size costs is a question for a result of its own."""
_MUCH = 1.0
"""Points of agreement. Sound files differ by less: borders have another share of the pixels."""


def at_second_size(
    runtimes: Mapping[str, Runtime],
    reference: str,
    manifest: Manifest,
    dataset: Dataset,
    preparation: Preparation,
    before: Mapping[str, Evaluation],
    progress: Progress = silent,
) -> dict[str, SecondSizeFacts]:
    """Return what each runtime but the reference gives at
    `export.artifact.second_size.second_size`.

    Nothing for networks of one size and for protocols under which every image has its own.
    `before` is what the same runtimes gave on all images at the size of `preparation`.
    """
    size = _other_size(manifest, preparation.size)
    if size == preparation.size or get_protocol(preparation.protocol).variable:
        return {}
    count = min(IMAGES, len(dataset.items))
    chosen = [len(dataset.items) * i // count for i in range(count)]
    few = replace(dataset, items=tuple(dataset.items[i] for i in chosen))
    other = replace(preparation, size=size)
    evaluations = evaluate(runtimes, reference, few, other, progress=progress)
    return {
        key: SecondSizeFacts(
            size=size,
            images=count,
            agreement=_agreement(evaluations[key].evidence(), [*range(count)]),
            before=_agreement(before[key].evidence(), chosen),
        )
        for key in runtimes
        if key != reference
    }


def _other_size(manifest: Manifest, size: tuple[int, int]) -> tuple[int, int]:
    """Return the second size, (height, width), of which a fixed side stays."""
    height, width = (
        other if side is None else side
        for side, other in zip(manifest.input.shape[2:], second_size(size), strict=True)
    )
    return height, width


def size_warnings(facts: SecondSizeFacts) -> list[str]:
    """Say in a line that a file agrees much less at the second size."""
    if facts.before - facts.agreement <= _MUCH:
        return []
    return [
        f"loses at other sizes: agrees on {facts.before - facts.agreement:.1f} points less of the "
        f"pixels at {facts.size[0]}x{facts.size[1]}; calibrate it with images of the sizes that it "
        "will see, or import the network with a fixed size"
    ]


def _agreement(evidence: Evidence, images: Sequence[int]) -> float:
    """Return the percent of the pixels of some images on which the reference gives the same."""
    assert evidence.against is not None
    total = evidence.against[images].sum(0)
    return 100 * int(np.trace(total)) / int(total.sum())
