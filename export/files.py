"""Files that appear whole or not at all."""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from export.errors import ArtifactError


def sha256_of(path: Path) -> str:
    """Return the hex sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def new_files(*targets: Path) -> Iterator[list[Path]]:
    """Give temporary paths in the targets' folder; rename all of them at the end, or none.

    Raises ArtifactError when the folder cannot be made or written.
    """
    folder = targets[0].parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".segport-", dir=folder) as scratch:
            temporary = [Path(scratch) / target.name for target in targets]
            yield temporary
            _rename_all(temporary, targets)
    except OSError as error:
        raise ArtifactError(
            f"cannot write to {folder}: {error.strerror or error}; choose another folder with -o"
        ) from error


def _rename_all(sources: Sequence[Path], targets: Sequence[Path]) -> None:
    """Rename all or, when one fails, bring back what was there before."""
    done: list[tuple[Path, Path | None]] = []
    try:
        for source, target in zip(sources, targets, strict=True):
            older = source.with_name(f"{source.name}.older") if target.is_file() else None
            if older:
                older.hardlink_to(target)
            source.replace(target)
            done.append((target, older))
    except OSError:
        for target, older in done:
            if older:
                older.replace(target)
            else:
                target.unlink()
        raise


def check_writable(folder: Path) -> None:
    """Raise ArtifactError now when files could not be written to `folder` later."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    problem = None
    if not existing.is_dir():
        problem = f"{existing} is a file"
    elif not os.access(existing, os.W_OK | os.X_OK):
        problem = "permission denied"
    if problem:
        raise ArtifactError(f"cannot write to {folder}: {problem}; choose another folder with -o")
