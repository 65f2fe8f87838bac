"""Folders and files at a URL as paths: s3://, gs://, https:// and what else fsspec reaches.

A path says where a file is and holds neither its bytes nor a password, so that a list of paths is
small, and goes to workers that read the files themselves. What was listed is kept until a data set
is opened again: of each file its name and a digest of its version.
"""

import hashlib
import re
from collections.abc import Callable, Generator
from errno import EFBIG, EIO, ENOENT, ETIMEDOUT
from fnmatch import fnmatchcase
from pathlib import Path, PosixPath, PurePosixPath
from posixpath import normpath
from threading import Thread
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote, unquote

from export.common.errors import (
    DataError,
    RuntimeUnavailableError,
    SegportError,
    first_line,
    unknown,
)
from export.common.escaping import visible

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://([^/]*)(.*)", re.DOTALL | re.IGNORECASE)
_WAIT = 60.0
"""Seconds until a file is read, or there is known to be none."""
_WAIT_FOR_LIST = 600.0
"""The same for a listing, which comes in pages of a thousand names."""
_LARGEST = 1 << 30
"""Bytes of a file, of which nothing says how many there are before they come."""
_WEB = ("http:", "https:")
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "http": "remote", "https": "remote"}
"""By protocol what brings its package; of others fsspec says what to install."""
_FACTS = ("ETag", "etag", "size", "LastModified", "updated", "mtime", "created")
"""What file systems call that by which they tell versions of a file."""
_FOLDER, _UNTOLD = "/", "?"
"""What stands for a version where there is a folder, and where a listing does not tell it."""

Found = TypeVar("Found")


def is_url(where: str) -> bool:
    """Whether a text is a URL and no local path."""
    return _URL.fullmatch(where) is not None


def location(where: str) -> Path:
    """Return the path that a text means, a RemotePath for a URL.

    Raises DataError for a URL with a password or a signature, which it does not show.
    """
    match = _URL.fullmatch(where)
    if match is None:
        return Path(where)
    scheme, host, path = match[1].lower(), match[2], match[3]
    user, _, place = host.rpartition("@")
    if ":" in user or "?" in path + host:
        shown = f"{scheme}://{place}{path}".partition("?")[0]
        raise DataError(
            f"data {visible(shown)}: give no password or '?' in a URL, which would be kept with "
            "results; fsspec takes them from its configuration and the environment"
        )
    return Path(path) if scheme == "file" else RemotePath(f"{scheme}:", host, path.lstrip("/"))


class RemotePath(PosixPath):
    """A file or folder at a URL: what reading a data set asks of a path, and no more.

    Its parts are `scheme:`, host or bucket, and names. Methods raise OSError where the other side
    refuses, or does not answer within a minute (a listing: ten), and RuntimeUnavailableError
    without the package that reaches it. What would take it for a local file raises TypeError.
    """

    def __str__(self) -> str:
        return f"{self.parts[0]}//{'/'.join(self.parts[1:])}"

    def __fspath__(self) -> NoReturn:
        raise TypeError(f"{self} is no local file")

    def exists(self, **_: bool) -> bool:
        """Whether there is such a file or folder. Its kind is known then without its parent's."""
        try:
            info = _info(self)
        except FileNotFoundError:
            info = {}
        file = _version(info) if info.get("type") == "file" else None
        _known[self] = _FOLDER if _listing(self) else file
        return _known[self] is not None

    def is_file(self, **_: bool) -> bool:
        """Whether it is a file."""
        return _entry(self) not in (None, _FOLDER)

    def is_dir(self, **_: bool) -> bool:
        """Whether it is a folder that holds anything."""
        return _entry(self) == _FOLDER

    def iterdir(self) -> Generator["RemotePath", None, None]:
        """Yield what a folder holds, in no order."""
        return (self / name for name in _listing(self))

    def glob(self, pattern: str, **_: bool) -> Generator["RemotePath", None, None]:
        """Yield what fits a pattern of names, in no order."""
        first, _slash, rest = pattern.partition("/")
        for path in self.iterdir():
            if fnmatchcase(path.name, first):
                if not rest:
                    yield path
                elif path.is_dir():
                    yield from path.glob(rest)

    def rglob(self, pattern: str, **_: bool) -> Generator["RemotePath", None, None]:
        """Yield what fits a pattern of one name in this folder and those below it, in no order."""
        for path in self.iterdir():
            if fnmatchcase(path.name, pattern):
                yield path
            if path.is_dir():
                yield from path.rglob(pattern)

    def relative_to(self, *folder: Any, **_: bool) -> Path:  # type: ignore[override]
        """Return the names from a folder above it to this, as a path that is nowhere yet."""
        above = PurePosixPath(*folder[0].parts)
        return Path(PurePosixPath(*self.parts).relative_to(above))

    def resolve(self, strict: bool = False) -> "RemotePath":
        """Return the path without `..`, which never leads out of its host or bucket."""
        if ".." not in self.parts:
            return self
        scheme, host, *names = self.parts
        return RemotePath(scheme, host, normpath(f"/{'/'.join(names)}").lstrip("/"))

    def read_bytes(self) -> bytes:
        """Return what the file holds now."""
        data: bytes = _asked(self, _WAIT, lambda fs, at: fs.cat_file(at, start=0, end=_LARGEST))
        if len(data) == _LARGEST:
            raise OSError(EFBIG, "larger than 1 GiB", str(self))
        return data

    def version(self) -> str:
        """Return what changes with the file, as far as the other side tells size, time and ETag."""
        known = _entry(self)
        return _version(_info(self)) if known in (None, _UNTOLD) else known


_known: dict[RemotePath, str | None] = {}
"""Version, _FOLDER or None for nothing, of paths that were asked for by themselves."""
_listings: dict[RemotePath, dict[str, str]] = {}
"""Version or _FOLDER by name, of folders."""


def forget() -> None:
    """Ask anew for what was listed."""
    _known.clear()
    _listings.clear()


def _entry(path: RemotePath) -> str | None:
    """Return a file's version, _FOLDER for a folder, None for nothing."""
    path = path.resolve()
    if path in _known:
        return _known[path]
    if len(path.parts) < 3:  # what a host or bucket lies in cannot be listed
        return _FOLDER if _listing(path) else None
    return _listing(path.parent).get(path.name)


def _listing(folder: RemotePath) -> dict[str, str]:
    """Return what a folder holds; nothing for what is none."""
    folder = folder.resolve()
    if folder not in _listings:
        try:
            _listings[folder] = _asked(folder, _WAIT_FOR_LIST, _list)
        except FileNotFoundError:
            _listings[folder] = {}
    return _listings[folder]


def _list(fs: Any, at: str) -> dict[str, str]:
    found = {}
    for entry in fs.ls(at, detail=True):
        path = entry["name"].rstrip("/")
        name = path.rpartition("/")[2]
        folder = entry["type"] == "directory" or entry["name"].endswith("/")
        if path != at.rstrip("/") and name not in ("", ".", ".."):
            name = unquote(name) if at.startswith(_WEB) else name
            found[name] = _FOLDER if folder else _version(entry)
    fs.invalidate_cache()  # or it would keep more of each file than we do
    return found


def _info(path: RemotePath) -> dict[str, Any]:
    return _asked(path, _WAIT, lambda fs, at: dict(fs.info(at)))


def _version(info: dict[str, Any]) -> str:
    facts = [str(info[fact]) for fact in _FACTS if info.get(fact) is not None]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16] if facts else _UNTOLD


def _asked(path: RemotePath, seconds: float, ask: Callable[[Any, str], Found]) -> Found:
    """Return `ask(file system, address)`, or raise OSError with a reason of one line.

    In a thread that is left alone when its time is over: fsspec has no common way to end a wait.
    """
    answers: list[Found] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(ask(*_file_system(path)))
        except BaseException as error:
            errors.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if answers:
        return answers[0]
    if not errors:
        raise TimeoutError(ETIMEDOUT, f"no answer within {seconds:.0f} s", str(path))
    raise _said(path, errors[0]) from errors[0]


def _file_system(path: RemotePath) -> tuple[Any, str]:
    """Return fsspec's file system and what a path is called there."""
    try:
        from fsspec.core import url_to_fs
        from fsspec.registry import known_implementations, registry
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"data {path}: needs fsspec: pip install 'segport[remote]'"
        ) from error
    scheme, *names = path.resolve().parts
    if scheme == "/":
        raise FileNotFoundError(ENOENT, "an absolute path, beside a URL")
    protocols = {*known_implementations, *registry}
    if scheme[:-1] not in protocols:
        raise DataError(f"data {path}: {unknown('protocol', scheme[:-1], protocols)}")
    host, *inside = names
    fs, _ = url_to_fs(f"{scheme}//{host}")
    at = "/".join([host, *map(quote, inside)] if scheme in _WEB else names)
    return fs, fs._strip_protocol(f"{scheme}//{at}")


def _said(path: RemotePath, error: BaseException) -> Exception:
    """Return what an error of fsspec, or of a package below it, is to us."""
    if isinstance(error, SegportError):
        return error
    scheme = path.parts[0][:-1]
    if isinstance(error, ImportError):
        extra = _EXTRAS.get(scheme)
        how = f": pip install 'segport[{extra}]'" if extra else ""
        return RuntimeUnavailableError(f"data {path}: {first_line(error)}{how}")
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(ENOENT, "no such file or folder", str(path))
    said = (isinstance(error, OSError) and error.strerror) or first_line(error)
    hidden = re.sub(r"\?[^\s'\"]*", "?...", said)  # a redirection may have a signature
    return OSError(EIO, hidden, str(path))
