"""Take onnxruntime-web from the npm registry when the wheel is built, and only as it was pinned."""

import shutil
import subprocess
import tarfile
import tempfile
from base64 import b64decode
from hashlib import sha512
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""Of the tarball of this version, as `npm view onnxruntime-web@VERSION dist.integrity` says."""


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the files into the wheel beside the package's own."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fetch, check, and unpack what the wheel needs."""
        folder = self._folder = Path(tempfile.mkdtemp())
        package = f"onnxruntime-web@{self.metadata.version}"
        subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True)
        (tarball,) = folder.glob("*.tgz")
        if sha512(tarball.read_bytes()).digest() != b64decode(SHA512):
            raise SystemExit(f"{package}: its sha512 is not the one in hatch_build.py")
        with tarfile.open(tarball) as archive:
            for name in FILES:
                member = archive.extractfile(f"package/dist/{name}")
                assert member is not None, name
                (folder / name).write_bytes(member.read())
                build_data["force_include"][str(folder / name)] = f"segport_web/{name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was unpacked."""
        shutil.rmtree(self._folder)
