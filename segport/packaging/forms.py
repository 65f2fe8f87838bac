"""A package as one thing to hand over: a folder, a zip file, or an OCI image layout.

What is packed twice from the same files is the same bytes: nothing is compressed, dates are
1980's, and names are sorted. So `verify` packs what it unpacked again, and sees every change.
"""

import hashlib
import json
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from filecmp import cmp
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo, is_zipfile

from export.common.errors import ArtifactError, first_line
from export.common.escaping import visible
from export.common.files import file_bytes, scratch_folder, sha256_of
from segport.packaging.inside.verify import (
    INDEX,
    SUMS,
    DamagedError,
    files_in,
    refuse_collisions,
    refuse_unsafe,
)

_OCI_MARK = "oci-layout"
_BLOBS = "blobs/sha256"
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_TITLE = "org.opencontainers.image.title"
_MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Form:
    """`recognise(path)` tells whether a path has this form; the others convert a folder.

    `unpack` raises DamagedError for what no package is, before it writes anything outside.
    """

    recognise: Callable[[Path], bool]
    pack: Callable[[Path, Path], None]
    unpack: Callable[[Path, Path], None]


def _pack_zip(folder: Path, target: Path) -> None:
    with ZipFile(target, "w", ZIP_STORED) as archive:
        for path in files_in(folder):
            entry = ZipInfo(path)
            entry.create_system, entry.external_attr = 3, (stat.S_IFREG | 0o644) << 16
            entry.file_size = (folder / path).stat().st_size
            with (folder / path).open("rb") as source, archive.open(entry, "w") as written:
                shutil.copyfileobj(source, written, _MEGABYTE)


def _unpack_zip(source: Path, folder: Path) -> None:
    try:
        with ZipFile(source) as archive:
            entries = archive.infolist()
            _refuse_entries(entries, source.stat().st_size)
            for entry in entries:
                with archive.open(entry) as packed, _new(folder / entry.filename) as file:
                    shutil.copyfileobj(packed, file, _MEGABYTE)
    except (BadZipFile, ValueError, RuntimeError, EOFError, OSError) as error:
        raise DamagedError(f"the zip file cannot be read ({first_line(error)})") from error


def _refuse_entries(entries: list[ZipInfo], size: int) -> None:
    """Raise DamagedError for names, kinds and sizes that no package's zip file has.

    Nothing in it is compressed, so that all that it holds is smaller than itself.
    """
    for entry in entries:
        refuse_unsafe(entry.filename)
        if entry.compress_type != ZIP_STORED or stat.S_ISLNK(entry.external_attr >> 16):
            raise DamagedError(f"{entry.filename!a} is compressed or a link, as in no package")
    names = [entry.filename for entry in entries]
    if len(set(names)) < len(names) or sum(entry.file_size for entry in entries) > size:
        raise DamagedError("the zip file holds a file twice, or more than its own size")
    refuse_collisions(names)


def _pack_oci(folder: Path, target: Path) -> None:
    """Write an image layout with a layer per file, as ORAS pushes and pulls artifacts."""
    (target / _BLOBS).mkdir(parents=True)
    layers = []
    for path in files_in(folder):
        hexes = sha256_of(folder / path)
        shutil.copyfile(folder / path, target / _BLOBS / hexes)
        described = _described("application/octet-stream", hexes, (folder / path).stat().st_size)
        layers.append(described | {"annotations": {_TITLE: path}})
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST_TYPE,
        "artifactType": "application/vnd.segport.package.v1",
        "config": _blob(target, b"{}", _EMPTY_TYPE),
        "layers": layers,
    }
    described = _blob(target, json.dumps(manifest).encode(), _MANIFEST_TYPE)
    tagged = described | {"annotations": {"org.opencontainers.image.ref.name": "latest"}}
    index = {"schemaVersion": 2, "manifests": [tagged]}
    (target / "index.json").write_text(json.dumps(index))
    (target / _OCI_MARK).write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))


def _described(kind: str, hexes: str, size: int) -> dict[str, Any]:
    return {"mediaType": kind, "digest": f"sha256:{hexes}", "size": size}


def _blob(target: Path, data: bytes, kind: str) -> dict[str, Any]:
    hexes = hashlib.sha256(data).hexdigest()
    (target / _BLOBS / hexes).write_bytes(data)
    return _described(kind, hexes, len(data))


def _unpack_oci(source: Path, folder: Path) -> None:
    files_in(source)  # no links
    try:
        (described,) = json.loads(file_bytes(source / "index.json"))["manifests"]
        manifest = json.loads(file_bytes(_blob_file(source, described)))
        paths = {layer["annotations"][_TITLE]: layer for layer in manifest["layers"]}
        for path in paths:
            refuse_unsafe(path)
        refuse_collisions(list(paths))
        for path, layer in paths.items():
            with _blob_file(source, layer).open("rb") as blob, _new(folder / path) as file:
                shutil.copyfileobj(blob, file, _MEGABYTE)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise DamagedError(f"the OCI layout cannot be read ({first_line(error)})") from error


def _blob_file(source: Path, described: dict[str, Any]) -> Path:
    name = str(described["digest"]).removeprefix("sha256:")
    refuse_unsafe(name)
    return source / _BLOBS / name


@contextmanager
def _new(file: Path) -> Iterator[Any]:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("xb") as opened:
        yield opened


FORMS: dict[str, Form] = {
    "zip": Form(lambda path: path.is_file() and is_zipfile(path), _pack_zip, _unpack_zip),
    "oci": Form(lambda path: (path / _OCI_MARK).is_file(), _pack_oci, _unpack_oci),
}


def is_package(path: Path) -> bool:
    """Whether a folder or file looks like a package, whatever is wrong with it."""
    plain = (path / SUMS).is_file() and (path / INDEX).is_file()
    return plain or any(form.recognise(path) for form in FORMS.values())


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Give a package as a folder as long as it is used.

    Raises ArtifactError for what is neither folder nor file, DamagedError for one that is not
    what packing its files gives.
    """
    form = next((form for form in FORMS.values() if form.recognise(path)), None)
    if form is None and path.is_dir():
        yield path
    elif form is None:
        what = "no zip file" if path.is_file() else "no such file or folder"
        raise ArtifactError(f"{visible(str(path))}: {what}; 'segport package' makes packages")
    else:
        with scratch_folder() as scratch:
            folder = scratch / "package"
            folder.mkdir()
            form.unpack(path, folder)
            form.pack(folder, scratch / "again")
            if not _same(path, scratch / "again"):
                raise DamagedError("it holds bytes that are none of its files'")
            yield folder


def _same(one: Path, other: Path) -> bool:
    if one.is_file():
        return cmp(one, other, shallow=False)
    paths = files_in(one)
    return paths == files_in(other) and all(
        cmp(one / path, other / path, shallow=False) for path in paths
    )
