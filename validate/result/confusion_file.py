"""Read the confusion matrices that lie beside a result."""

from pathlib import Path

from export.common.errors import DataError
from validate.metrics.intervals import PerImage
from validate.result.evidence import read_evidence
from validate.result.result import CONFUSION_FILE, Result


def load_confusions(result: Result, result_file: Path) -> dict[str, PerImage]:
    """Return int64 (images, classes, classes) by artifact id; empty without labels.

    Raises DataError when confusion.npz is missing, damaged, or of another result.
    """
    path = result_file.with_name(CONFUSION_FILE)
    if not path.is_file():
        raise DataError(f"{path}: cannot read (no such file); it belongs beside {result_file}")
    evidence = read_evidence(path).by_id
    confusions: dict[str, PerImage] = {}
    for artifact in result.artifacts:
        if artifact.miou is None:
            continue
        matrices = evidence[artifact.id].labels if artifact.id in evidence else None
        if matrices is None:
            raise DataError(f"{path}: has no '{artifact.id}', {result_file} has")
        classes = len(artifact.class_iou)
        shape = (result.dataset.images, classes, classes)
        if matrices.shape != shape:
            raise DataError(
                f"{path}: {artifact.id} is {matrices.shape}, but {result_file} means {shape}"
            )
        confusions[artifact.id] = matrices
    return confusions
