"""Read the diagnosis.json that `segport diagnose` wrote."""

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from export.artifact.diagnosis import Diagnosis
from export.common.errors import DataError
from export.common.files import file_bytes
from export.common.validation import first_wrong

DIAGNOSIS_FILE = "diagnosis.json"


def load_diagnosis(folder: Path) -> Diagnosis:
    """Return the diagnosis in `folder`; raise DataError when it is missing or damaged."""
    path = folder / DIAGNOSIS_FILE
    try:
        diagnosis = TypeAdapter(Diagnosis).validate_json(file_bytes(path))
    except OSError as error:
        raise DataError(
            f"{path}: cannot read ({error.strerror}); 'segport diagnose' makes it"
        ) from error
    except ValidationError as error:
        raise DataError(f"{path}: no diagnosis ({first_wrong(error)})") from error
    if not 0 <= diagnosis.suspect.index < len(diagnosis.layers):
        raise DataError(f"{path}: no diagnosis (it has no layer {diagnosis.suspect.index})")
    return diagnosis
