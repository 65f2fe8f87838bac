"""Files that appear whole or not at all."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from errno import ENOENT, ENOMEM
from filecmp import cmp
from pathlib import Path

from export.common.errors import ArtifactError, DataError
from export.common.memory import refuse_beyond
from export.common.remote import RemotePath


def is_regular(path: Path) -> bool:
    """Whether `path` is, or links to, a file: no folder, pipe, socket or device.

    Raises OSError where a URL does not answer.
    """
    return _answer(path, path.is_file)


def exists(path: Path) -> bool:
    """Whether there is anything at `path`. Raises OSError where a URL does not answer."""
    return _answer(path, path.exists)


def _answer(path: Path, ask: Callable[[], bool]) -> bool:
    try:
        return ask()
    except OSError:  # a name that is too long
        if isinstance(path, RemotePath):
            raise
        return False


def file_bytes(path: Path) -> bytes:
    """Return a regular file's bytes.

    Raises OSError, also for what is none, which might never end, and for one that memory is not
    enough for.
    """
    if isinstance(path, RemotePath):  # in one request
        return path.read_bytes()
    _refuse_irregular(path)
    try:
        refuse_beyond(path.stat().st_size, "the file")
    except DataError as error:
        raise OSError(ENOMEM, str(error), str(path)) from error
    return path.read_bytes()


def file_text(path: Path) -> str:
    """Return a regular file's UTF-8 text, raising as `file_bytes` and UnicodeDecodeError."""
    return file_bytes(path).decode("utf-8")


def read_file(path: Path) -> bytes:
    """Return what `file_bytes` does; what it raises becomes a DataError that does not say where."""
    try:
        return file_bytes(path)
    except OSError as error:
        raise DataError(error.strerror or str(error)) from error


def sha256_of(path: Path) -> str:
    """Return the hex sha256 of a file. Raises OSError, also for what is not a regular file."""
    if isinstance(path, RemotePath):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    _refuse_irregular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state_of(path: Path) -> list[object]:
    """Return what changes with a file, cheap to ask for: its path, and size and time or version.

    Raises OSError.
    """
    if isinstance(path, RemotePath):
        return [str(path), path.version()]
    found = path.stat()
    return [str(path), found.st_size, found.st_mtime_ns]


def _refuse_irregular(path: Path) -> None:
    if not is_regular(path):
        raise FileNotFoundError(ENOENT, "no such file, or not a regular one", str(path))


_SCRATCH = ".segport-"


@contextmanager
def new_files(*targets: Path) -> Iterator[list[Path]]:
    """Give temporary paths in the targets' folder; rename all of them at the end, or none.

    Raises ArtifactError when the folder cannot be made or written.
    """
    folder = targets[0].parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with scratch_folder(folder) as scratch:
            temporary = [scratch / target.name for target in targets]
            yield temporary
            _rename_all(temporary, targets)
    except OSError as error:
        raise ArtifactError(
            f"cannot write to {folder}: {error.strerror or error}; choose another folder with -o"
        ) from error


def write_texts(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write texts into `folder` by the names of their files, all or none; return the files.

    Raises ArtifactError when the folder cannot be made or written.
    """
    targets = [folder / name for name in texts]
    with new_files(*targets) as temporary:
        for path, text in zip(temporary, texts.values(), strict=True):
            path.write_text(text, encoding="utf-8")
    return targets


def _rename_all(sources: Sequence[Path], targets: Sequence[Path]) -> None:
    """Rename all or, when anything goes wrong, bring back what was there before.

    The first target describes, or is described by, the others: it goes before one of them changes
    and comes last, so that a kill in between leaves it missing and never beside another's files.
    """
    head, *rest = pairs = list(zip(sources, targets, strict=True))
    older = {target: _kept(source, target) for source, target in pairs if target.is_file()}
    try:
        if any(
            target in older and not cmp(source, target, shallow=False) for source, target in rest
        ):
            head[1].unlink(missing_ok=True)
        for source, target in (*rest, head):
            source.replace(target)
    except BaseException:  # a signal's too
        for target in targets:
            if target in older:
                older[target].replace(target)
            elif target.is_file():
                target.unlink()
        raise


def _kept(source: Path, file: Path) -> Path:
    """Return another name of `file` beside `source`, a copy where a file has one name only."""
    older = source.with_name(f"{source.name}.older")
    try:
        older.hardlink_to(file)
    except OSError:
        shutil.copy2(file, older)
    return older


@contextmanager
def scratch_folder(folder: Path | None = None) -> Iterator[Path]:
    """Give a new folder in `folder` (default: that of temporary files), removed at the end.

    What is left after a kill, a later call for the same `folder` removes.
    It is locked as long as it is in use; the lock ends with the process however that ends.
    """
    folder = folder or _temporary()
    _remove_left(folder)
    while True:
        with tempfile.TemporaryDirectory(
            prefix=_SCRATCH, dir=folder, ignore_cleanup_errors=True
        ) as name:
            scratch = Path(name)
            number = _locked(scratch)
            if number is None:
                continue  # somebody took it for one that was left
            try:
                yield scratch
            finally:
                os.close(number)
            return


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for it out of `folder`, which is made.

    A folder that was made and stays empty is removed again. Raises ArtifactError where another
    process is in it already, or it cannot be written.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    lock = folder / f"{_SCRATCH}run"
    try:
        lock.mkdir(parents=True, exist_ok=True)
        number = _locked(lock, fcntl.LOCK_EX)
    except OSError as error:
        raise ArtifactError(
            f"cannot write to {folder}: {error.strerror or error}; choose another folder with -o"
        ) from error
    if number is None:
        raise ArtifactError(
            f"{folder}: another run writes to it; wait for that, or choose another with -o"
        )
    try:
        yield
    finally:
        os.close(number)
        for path in (lock, *made):
            with suppress(OSError):
                path.rmdir()


def _temporary() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:
        raise ArtifactError(
            f"no folder for temporary files: {error.strerror}; TMPDIR chooses one"
        ) from error


def _locked(scratch: Path, kind: int = fcntl.LOCK_SH) -> int | None:
    """Lock a scratch folder; return what holds the lock, None where another's prevents it."""
    try:
        number = os.open(scratch, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(number, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(number)
        return None
    except OSError:  # a file system without locks, where nothing is cleared either
        return number
    if scratch.exists():
        return number
    os.close(number)
    return None


def _remove_left(folder: Path) -> None:
    """Remove scratch folders that processes left which were killed."""
    for scratch in folder.glob(f"{_SCRATCH}*"):
        if scratch.is_symlink() or not scratch.is_dir():
            continue
        with suppress(OSError):
            number = os.open(scratch, os.O_RDONLY)
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(scratch, ignore_errors=True)
            finally:
                os.close(number)


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
