"""Bring together what a precision search needs: budget, judge, and the images it judges on."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from onnx import ModelProto

from export.artifact.artifact import Artifact
from export.artifact.sample import Sample
from export.common.errors import UsageError
from quantize.search.budget import SearchBudget
from quantize.search.clock import Say
from quantize.search.search import Search
from quantize.self_check import IMAGES
from segport.scoring import SCORES, session_times
from validate.data.datasets import open_dataset
from validate.data.items import Dataset
from validate.samples.label_map_file import read_label_map
from validate.samples.samples import Preparation, Samples
from validate.samples.traps import refuse_traps

SCORING_IMAGES = 256
"""With 60, a search on ESPNetv2 found what lost 0.3 points there and 2.7 on other images."""


@dataclass(frozen=True)
class Request:
    """A budget, the data set (as on the command line) that judges, and a limit of time."""

    budget: SearchBudget
    data: str
    minutes: float


def requested(
    max_drop: float | None,
    min_agreement: float | None,
    data: str | None,
    minutes: float,
) -> Request | None:
    """Return what a user asked for, None for no search. Raises UsageError."""
    if not minutes > 0:
        raise UsageError(f"--search-minutes {minutes:g}: give a number above 0")
    if max_drop is None and min_agreement is None:
        return None
    if max_drop is not None and min_agreement is not None:
        raise UsageError("--max-drop and --min-agreement: choose one of them")
    if data is None:
        raise UsageError("a precision search needs images: give --data DATA or --calibration DATA")
    if max_drop is not None:
        return Request(SearchBudget("max_drop", max_drop), data, minutes)
    assert min_agreement is not None
    return Request(SearchBudget("min_agreement", min_agreement), data, minutes)


def judges(
    request: Request, calibration: Dataset | None, seed: int, mask_suffix: str | None = None
) -> Dataset:
    """Return at most SCORING_IMAGES of the request's data set, drawn by `seed`.

    Images of `calibration` are no judges, unless there are no others.
    """
    masks = request.budget.kind == "max_drop"
    dataset = open_dataset(
        request.data, "train", masks=masks, suffix=mask_suffix if masks else None
    )
    used = {item.image for item in calibration.items} if calibration else set()
    others = tuple(item for item in dataset.items if item.image not in used)
    return replace(dataset, items=others or dataset.items).sample(SCORING_IMAGES, seed)


def open_search(
    request: Request,
    artifact: Artifact,
    calibration: Dataset | None,
    preparation: Preparation,
    seed: int,
    say: Say,
    *,
    mask_suffix: str | None = None,
    accepted: Collection[str] = (),
) -> Search:
    """Return the search of `request`, with its `judges`.

    `say` is told in words what is tried. Raises DataError for labels that would mislead, see
    `validate.samples.traps`.
    """
    dataset = judges(request, calibration, seed, mask_suffix)
    if dataset.labels and not preparation.labels.declared:
        preparation = replace(
            preparation, labels=read_label_map(dataset.labels, artifact.manifest.classes)
        )
    refuse_traps(dataset, preparation, accepted)
    score = SCORES[request.budget.kind](artifact, dataset, preparation)
    image = preparation.sample(dataset.items[0]).image

    def latency(models: Sequence[ModelProto]) -> list[float]:
        return session_times(artifact, image, models)

    return Search(request.budget, score, lambda: score.images, latency, request.minutes, say)


def held_back(
    source: str, calibration: Dataset, preparation: Preparation, seed: int
) -> Sequence[Sample]:
    """Return up to IMAGES images of `source` that are not in `calibration`, drawn by `seed`."""
    dataset = open_dataset(source, "train", masks=False)
    used = {item.image for item in calibration.items}
    others = tuple(item for item in dataset.items if item.image not in used)
    if not others:
        return ()
    return Samples(replace(dataset, items=others).sample(IMAGES, seed), preparation)
