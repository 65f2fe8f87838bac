"""What every package that Segport needs is licensed under: `python -m tests.licences` lists it."""

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.licenses import canonicalize_license_expression
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
ALLOWED = frozenset({
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause",
    "BSL-1.0", "CC0-1.0", "CNRI-Python", "ISC", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0",
    "Unlicense", "Zlib", "LicenseRef-NVIDIA-Proprietary",
})  # fmt: skip
"""SPDX identifiers: permissive ones, MPL-2.0, which binds its own files alone, and that of CUDA's
libraries, which torch depends on and Segport neither contains nor passes on."""
_SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "FreeBSD": "BSD-2-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "NVIDIA Proprietary Software": "LicenseRef-NVIDIA-Proprietary",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}
"""What metadata say in words, most of it classifiers."""
_UNSAID = {
    "atheris": "Apache-2.0",  # LICENSE in its repository, google/atheris
    "cuda-toolkit": "LicenseRef-NVIDIA-Proprietary",
    "sigstore-models": "MIT",  # LICENSE in its wheel
}
"""Packages whose metadata say nothing."""


def licences(*extras: str) -> dict[str, str]:
    """Return the SPDX expression of everything installed that pyproject.toml leads to."""
    project = tomllib.loads(_PROJECT.read_text())["project"]
    declared = [*project["dependencies"]]
    for extra in extras:
        declared += project["optional-dependencies"][extra]
    found = _needed(declared, frozenset(), set())
    return dict(sorted((name, licence_of(name, one)) for name, one in found))


def licence_of(name: str, one: Distribution) -> str:
    """Return an SPDX expression; where metadata say nothing that is known, what they say."""
    said = one.metadata.get("License-Expression")
    classifiers = one.metadata.get_all("Classifier", [])
    words = [text.rpartition(" :: ")[2] for text in classifiers if text.startswith("License ::")]
    words = words or [(one.metadata.get("License") or "").partition("\n")[0]]
    if said:
        return canonicalize_license_expression(said)
    return _UNSAID.get(name) or " AND ".join(_SPDX.get(word, word) for word in words)


def refused(expression: str) -> set[str]:
    """Return the identifiers of an expression that are not allowed; of an OR one has to be."""
    parts = re.split(r" AND ", re.sub(r"[()]", "", expression))
    return {part for part in parts if not any(one in ALLOWED for one in part.split(" OR "))}


def _needed(
    requirements: list[str], extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]
) -> Iterator[tuple[str, Distribution]]:
    for text in requirements:
        wanted = Requirement(text)
        if wanted.marker and not any(
            wanted.marker.evaluate({"extra": extra}) for extra in (*extras, "")
        ):
            continue
        name, more = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if (name, more) in seen:
            continue
        seen.add((name, more))
        try:
            one = distribution(name)
        except PackageNotFoundError:
            continue  # the platform's own kind of it is there instead
        yield name, one
        yield from _needed(one.requires or [], more, seen)


def page() -> str:
    """Return docs/licences.md."""
    needed, developed = licences(), licences("dev")
    rows = [
        f"| {name} | {licence} | {'use' if name in needed else 'development'} |"
        for name, licence in developed.items()
    ]
    return "\n".join([
        "# Licences of what is installed with Segport",
        "",
        "By `python -m tests.licences`; `tests/test_supply_chain.py` compares it with what is"
        " installed and checks every licence against a list of those allowed.",
        "",
        "| package | licence (SPDX) | needed for |",
        "|---|---|---|",
        *rows,
        "| onnxruntime-web (npm), in segport-web | MIT | extra web |",
    ]) + "\n"  # fmt: skip


if __name__ == "__main__":
    print(page(), end="")
