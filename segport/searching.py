"""Bring together what a precision search needs: budget, judge, and the images it judges on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from onnx import ModelProto

from export.artifact import Artifact
from export.errors import UsageError
from quantize.quantization import Search
from quantize.search.budget import Budget
from segport.scoring import SCORES, session_times
from validate.datasets import Dataset, open_dataset
from validate.samples import Preparation

SCORING_IMAGES = 256
"""With 60, a search on ESPNetv2 found what lost 0.3 points there and 2.7 on other images."""


@dataclass(frozen=True)
class Request:
    """A budget, and the data set (as on the command line) that judges."""

    budget: Budget
    data: str


def requested(
    max_drop: float | None, min_agreement: float | None, data: str | None
) -> Request | None:
    """Return what a user asked for, None for no search. Raises UsageError."""
    if max_drop is None and min_agreement is None:
        return None
    if max_drop is not None and min_agreement is not None:
        raise UsageError("--max-drop and --min-agreement: choose one of them")
    if data is None:
        raise UsageError("a precision search needs images: give --data DATA or --calibration DATA")
    if max_drop is not None:
        return Request(Budget("max_drop", max_drop), data)
    assert min_agreement is not None
    return Request(Budget("min_agreement", min_agreement), data)


def open_search(
    request: Request,
    artifact: Artifact,
    calibration: Dataset | None,
    preparation: Preparation,
    seed: int,
) -> Search:
    """Return the search of `request`, judged on at most SCORING_IMAGES drawn by `seed`.

    Images of `calibration` are no judges, unless there are no others. fp32 is run here, once.
    """
    kind = request.budget.kind
    dataset = open_dataset(request.data, "train", masks=kind == "max_drop")
    used = {item.image for item in calibration.items} if calibration else set()
    others = tuple(item for item in dataset.items if item.image not in used)
    judges = replace(dataset, items=others or dataset.items).sample(SCORING_IMAGES, seed)
    score = SCORES[kind](artifact, judges, preparation)
    image = preparation.sample(judges.items[0]).image

    def latency(models: Sequence[ModelProto]) -> list[float]:
        return session_times(artifact, image, models)

    return Search(request.budget, score, lambda: score.images, latency)
