"""Whether the files about to be shipped are those that were judged."""

from collections.abc import Sequence
from pathlib import Path

from export.common.errors import UsageError
from export.common.files import sha256_of
from validate.gating.verdict import Outcome, Verdict
from validate.result.result import ArtifactResult, Result

CHECK = "artifacts"
_NETWORKS = frozenset({".onnx", ".ort", ".tflite", ".engine", ".plan", ".blob", ".pt", ".pth"})
"""What a runtime may load; below the folder, too."""


def check_shipped(results: Sequence[Result], folder: Path) -> list[list[Verdict]]:
    """Return, for each result, whether `folder` holds its files, and nothing that none judged.

    A copy of a judged file, such as one in a package, may lie there under any name.
    Raises UsageError when there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"--artifacts {folder}: no such folder")
    judged = [[_judge(a, folder) for a in result.artifacts if a.file] for result in results]
    known = {a.file for result in results for a in result.artifacts}
    digests = {a.sha256 for result in results for a in result.artifacts}
    unknown = sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.suffix.lower() in _NETWORKS
        and not (path.parent == folder and path.name in known)
        and not (path.is_file() and sha256_of(path) in digests)
    )
    reason = f"lies in {folder}, and no result has judged it"
    judged[0] += [Verdict(name, Outcome.UNKNOWN, reason, CHECK) for name in unknown]
    return judged


def _judge(artifact: ArtifactResult, folder: Path) -> Verdict:
    path = folder / Path(artifact.file or "").name
    if not path.is_file():
        reason = f"{path} is not there, so what is shipped was not judged"
        return Verdict(artifact.id, Outcome.UNKNOWN, reason, CHECK)
    if sha256_of(path) != artifact.sha256:
        reason = f"{path} is not the file that was judged (sha256); validate it"
        return Verdict(artifact.id, Outcome.UNKNOWN, reason, CHECK)
    return Verdict(artifact.id, Outcome.PASS, f"{path} is the file that was judged", CHECK)
