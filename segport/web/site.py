"""All files of the page, by name: what is not in this table is not served."""

import json
from collections.abc import Mapping, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path

from export.artifact.artifact import Artifact
from export.common.files import new_files
from segport.web.onnxruntime_web import onnxruntime_web

_HERE = Path(__file__).parent
_PAGE = ("index.html", "style.css", "page.mjs", "worker.mjs")
_TEMPLATES = _HERE.parent / "packaging/inside"

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; worker-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
"""Everything from the page's own server. WebAssembly has to be compiled; nothing else is."""

Site = Mapping[str, bytes | Traversable]
"""Content by file name; models are read when they are asked for."""


def build_site(artifacts: Sequence[Artifact]) -> Site:
    """Return the page for these artifacts. Raises RuntimeUnavailableError as `onnxruntime_web`."""
    site: dict[str, bytes | Traversable] = {
        **{name: _HERE / "files" / name for name in _PAGE},
        "infer.mjs": _TEMPLATES / "infer.mjs",
        **onnxruntime_web(),
        "models.json": json.dumps([_entry(one) for one in artifacts]).encode(),
    }
    for one in artifacts:
        site[f"{one.manifest.stem}.onnx"] = one.path
        site[f"{one.manifest.stem}.json"] = one.path.with_suffix(".json")
    index = (_HERE / "files/index.html").read_text(encoding="utf-8")
    return {**site, "index.html": index.replace("POLICY", POLICY).encode()}


def _entry(one: Artifact) -> dict[str, object]:
    manifest = one.manifest
    return {
        "id": manifest.id,
        "name": manifest.stem,
        "bytes": one.path.stat().st_size,
    }


def content(file: bytes | Traversable) -> bytes:
    """Return what a file of the site holds."""
    return file if isinstance(file, bytes) else file.read_bytes()


def export_site(site: Site, folder: Path) -> None:
    """Write all files of the page, or none; any web server can show the folder.

    Raises ArtifactError when it cannot be written.
    """
    with new_files(*(folder / name for name in site)) as targets:
        for target, file in zip(targets, site.values(), strict=True):
            target.write_bytes(content(file))
