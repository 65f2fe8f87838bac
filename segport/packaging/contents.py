"""What a package contains: a row for each kind of file."""

import json
from collections.abc import Callable
from pathlib import Path

from export.common.files import file_bytes
from segport.packaging.bom import bom_files
from segport.packaging.layouts import Contents
from segport.packaging.material import Material
from segport.packaging.model_card import card_files
from segport.packaging.model_package import index_files

_INSIDE = Path(__file__).parent / "inside"
_PROGRAMS = ("infer.py", "verify.py", "infer.cpp", "CMakeLists.txt", "infer.mjs")
SCRIPTS = {name: _INSIDE / name for name in _PROGRAMS}
"""Copied as they are, by their names in the package."""


def model_files(material: Material) -> Contents:
    """Return every variant's model, and its manifest beside it."""
    found: dict[str, bytes | Path] = {}
    for variant in material.variants:
        place = material.place(variant)
        manifest = variant.manifest.model_dump(mode="json")
        found[str(place)] = variant.artifact.path
        found[str(place.with_suffix(".json"))] = (json.dumps(manifest, indent=1) + "\n").encode()
    return found


def script_files(material: Material) -> Contents:
    """Return the programs that go along."""
    return {name: file_bytes(file) for name, file in SCRIPTS.items()}


def sample_files(material: Material) -> Contents:
    """Return pictures and expected masks."""
    pictures = {sample.file: sample.picture for sample in material.samples}
    masks = {
        sample.mask_file(variant): sample.masks[variant.id]
        for sample in material.samples
        for variant in material.variants
    }
    return pictures | masks


def report_files(material: Material) -> Contents:
    """Return the report, the result, and what it was counted from."""
    return material.findings.contents() if material.findings else {}


FILES: tuple[Callable[[Material], Contents], ...] = (
    model_files,
    index_files,
    script_files,
    sample_files,
    report_files,
    card_files,
    bom_files,
    lambda material: material.layout.extra(material),
)


def contents(material: Material) -> Contents:
    """Return all files of a package by their paths."""
    return {path: data for files in FILES for path, data in files(material).items()}
