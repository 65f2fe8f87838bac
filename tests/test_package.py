"""What is in the archives that users install, and that they can be built again."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"export", "quantize", "segport", "validate"}
APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
"""sha256 of https://www.apache.org/licenses/LICENSE-2.0.txt."""


def _build(source: Path, out: Path) -> None:
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out)]
    done = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _one(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with what a working one collects: caches, runs, reports."""
    skipped = shutil.ignore_patterns(".*", "__pycache__", "reports", "runs", "*.egg-info")
    tree = shutil.copytree(ROOT, tmp_path_factory.mktemp("package") / "tree", ignore=skipped)
    shutil.copy(ROOT / ".gitignore", tree)
    for litter in ("reports/result.json", "runs/a.onnx", "segport/__pycache__/a.pyc", "notes.md"):
        (tree / litter).parent.mkdir(exist_ok=True)
        (tree / litter).write_text("litter")
    return tree


@pytest.fixture(scope="module")
def built(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the sdist, and of the wheel that was built of the sdist."""
    out = tmp_path_factory.mktemp("dist")
    _build(tree, out)
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> ZipFile:
    """The wheel."""
    return ZipFile(_one(built, "*.whl"))


@pytest.fixture(scope="module")
def sdist_names(built: Path) -> set[str]:
    """Files of the sdist, relative to its one folder."""
    with tarfile.open(_one(built, "*.tar.gz")) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(
    wheel: ZipFile, tree: Path
) -> None:
    files = {
        str(path.relative_to(tree))
        for package in PACKAGES
        for path in (tree / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert shipped == files
    assert {f"{package}/py.typed" for package in PACKAGES} <= shipped


def test_the_sdist_holds_what_a_rebuild_and_the_tests_need(sdist_names: set[str]) -> None:
    top = {name.partition("/")[0] for name in sdist_names}
    assert PACKAGES | {"tests", "recipes", "LICENSE", "Makefile", "constraints.txt", "docs"} <= top
    assert top - PACKAGES <= {
        "tests", "recipes", "benchmarks", "README.md", "LICENSE", "Makefile", "constraints.txt",
        "pyproject.toml", "PKG-INFO", ".gitignore", "requirements.lock", "docs",
        "mkdocs.yml",
    }  # fmt: skip
    assert not [name for name in sdist_names if name.endswith(".pyc")]


def test_the_metadata_is_what_a_registry_shows(wheel: ZipFile) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    info = f"segport-{project['version']}.dist-info"
    metadata = Parser().parsestr(wheel.read(f"{info}/METADATA").decode())
    assert (metadata["Name"], metadata["Version"]) == ("segport", project["version"])
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert metadata["Requires-Python"] == project["requires-python"]
    assert hashlib.sha256(wheel.read(f"{info}/licenses/LICENSE")).hexdigest() == APACHE_2
    assert "segport = segport.__main__:main" in wheel.read(f"{info}/entry_points.txt").decode()


def test_another_copy_at_another_time_gives_the_same_archives(
    tree: Path, built: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(tree, tmp_path / "other")
    for path in other.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
        path.chmod(0o700 if path.is_dir() else 0o600)
    _build(other, tmp_path / "dist")
    for archive in built.iterdir():
        assert (tmp_path / "dist" / archive.name).read_bytes() == archive.read_bytes()
