"""The artifact every stage passes on: an ONNX file and the manifest beside it."""

import hashlib
import json
import re
from dataclasses import dataclass
from math import prod
from pathlib import Path

from pydantic import ValidationError

from export.artifact.manifest import Manifest
from export.common.errors import ArtifactError, UsageError
from export.common.escaping import visible
from export.common.files import file_bytes, new_files, sha256_of
from export.common.memory import refuse_beyond
from export.common.names import LONGEST, is_file_name
from export.common.validation import first_wrong

_INPUT_BYTES = 8
"""Of each number of an input: a float32 and its copy, where images are put together."""


@dataclass(frozen=True)
class Artifact:
    """An ONNX file whose bytes match its manifest."""

    path: Path
    manifest: Manifest


def artifact_name(text: str) -> str:
    """Return `text` (a model or a user's name) as a file name part."""
    name = re.sub(r"[/:.]", "-", text)
    if len(name) > LONGEST:
        raise UsageError(
            f"name '{text[:20]}...': has {len(name)} characters, at most {LONGEST} are allowed"
        )
    if not is_file_name(name):
        raise UsageError(f"name '{text}': use letters, digits, '-' and '_' only")
    return name


def write_artifact(data: bytes, manifest: Manifest, folder: Path) -> Artifact:
    """Write `<stem>.onnx` and `<stem>.json`, both or neither, and return the artifact.

    Raises ArtifactError when they cannot be written, or the manifest's name is no file's.
    """
    if not all(map(is_file_name, (manifest.name, manifest.target or "cpu"))):
        raise ArtifactError(f"name '{visible(manifest.stem)}' cannot be that of a file")
    manifest = manifest.model_copy(update={"sha256": hashlib.sha256(data).hexdigest()})
    path = folder / f"{manifest.stem}.onnx"
    with new_files(path, path.with_suffix(".json")) as (onnx_file, json_file):
        onnx_file.write_bytes(data)
        json_file.write_text(json.dumps(manifest.model_dump(mode="json"), indent=1) + "\n")
    return Artifact(path, manifest)


def load_artifact(path: Path) -> Artifact:
    """Read and verify an artifact.

    Raises ArtifactError when the file or its manifest is missing or unreadable, or when the
    file's sha256 is not the one in the manifest; DataError for one whose input memory is not
    enough for.
    """
    path = Path(path)
    if not path.is_file():
        raise ArtifactError(f"{path}: no such file; 'segport export' makes artifacts")
    manifest_path = path.with_suffix(".json")
    if path.suffix != ".onnx":
        raise ArtifactError(f"{path}: not an .onnx file; give the .onnx, not its manifest")
    if not manifest_path.is_file():
        raise ArtifactError(
            f"{path}: its manifest {manifest_path.name} is missing; 'segport import' makes one"
        )
    try:
        manifest = Manifest.model_validate_json(file_bytes(manifest_path))
    except (ValidationError, OSError) as error:
        wrong = first_wrong(error) if isinstance(error, ValidationError) else str(error)
        raise ArtifactError(
            f"{manifest_path}: not a segport manifest ({wrong}); "
            "'segport import' makes a new one for a third-party file"
        ) from error
    if sha256_of(path) != manifest.sha256:
        raise ArtifactError(
            f"{path}: its sha256 differs from the manifest's, so the file was changed after it was "
            "written; make it again with segport export, quantize or import"
        )
    batch, channels, *_ = manifest.input.shape
    shape = (batch or 1, channels, *manifest.size)
    shown = "x".join(map(str, shape))
    refuse_beyond(_INPUT_BYTES * prod(shape), f"{path}: an input of {shown} numbers")
    return Artifact(path, manifest)
