"""Checksums by which a result shows that nobody changed it after it was written.

They guard against slips and edits by hand. Who runs this module can seal what he likes: against
that only a signature helps.
"""

import hashlib
import json

from pydantic import BaseModel

from validate.result.result import ArtifactResult, Facts, Result

_COUNTED = {"artifacts", "class_images"}
"""Fields of a result that do not go into its own checksum."""
_SEAL = "facts_sha256"


def sealed(result: Result, counts_sha256: str) -> Result:
    """Return the result with the checksums of its counts, its artifacts' facts, and its own."""
    artifacts = [a.model_copy(update={_SEAL: _artifact_digest(a)}) for a in result.artifacts]
    update = {"artifacts": artifacts, "counts_sha256": counts_sha256}
    whole = result.model_copy(update=update)
    return whole.model_copy(update={_SEAL: _result_digest(whole)})


def broken_seals(result: Result) -> list[str]:
    """Return what was changed: artifact ids, and "" for the result's own facts.

    A result without checksums, of an earlier version, has none that could be broken.
    """
    broken = [
        a.id for a in result.artifacts if a.facts_sha256 and a.facts_sha256 != _artifact_digest(a)
    ]
    if result.facts_sha256 and result.facts_sha256 != _result_digest(result):
        broken.append("")
    return broken


def _artifact_digest(artifact: ArtifactResult) -> str:
    return _digest(artifact, set(Facts.model_fields) - {_SEAL})


def _result_digest(result: Result) -> str:
    return _digest(result, set(Result.model_fields) - {*_COUNTED, _SEAL})


def _digest(model: BaseModel, names: set[str]) -> str:
    content = model.model_dump(mode="json", include=names, exclude_defaults=True)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
