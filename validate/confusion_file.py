"""Read the confusion matrices that lie beside a result."""

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from export.errors import DataError
from validate.intervals import PerImage
from validate.result import CONFUSION_FILE, Result


def load_confusions(result: Result, result_file: Path) -> dict[str, PerImage]:
    """Return int64 (images, classes, classes) by artifact id; empty without labels.

    Raises DataError when confusion.npz is missing, damaged, or of another result.
    """
    path = result_file.with_name(CONFUSION_FILE)
    labelled = [a for a in result.artifacts if a.miou is not None]
    try:
        with np.load(path) as arrays:
            found = {a.id: arrays[a.id] for a in labelled}
    except OSError as error:
        reason = error.strerror or "no npz file"
        raise DataError(f"{path}: cannot read ({reason}); it belongs beside {result_file}") from (
            error
        )
    except KeyError as error:
        raise DataError(f"{path}: has other artifacts than {result_file} ({error})") from error
    except (BadZipFile, ValueError, EOFError) as error:
        raise DataError(f"{path}: damaged ({error}); 'segport validate' makes it") from error
    for artifact in labelled:
        classes, matrices = len(artifact.class_iou), found[artifact.id]
        shape = (result.dataset.images, classes, classes)
        if matrices.shape != shape or matrices.dtype != np.int64:
            raise DataError(
                f"{path}: {artifact.id} is {matrices.dtype} {matrices.shape}, but {result_file} "
                f"means int64 {shape}"
            )
    return found
