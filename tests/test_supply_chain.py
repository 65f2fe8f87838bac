"""What is installed along with Segport: pinned, with hashes, under licences that are allowed."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from export.artifact.artifact import Artifact
from tests.licences import licences, page, refused
from tests.segport.process import SCRIPT

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_PINNED = re.compile(
    r"^([\w.-]+)(?:\[[\w, -]+\])?==(\S+?)(?: ; .*)? \\\n"
    r"(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+",
    re.MULTILINE,
)


def _locked() -> dict[str, str]:
    text = (ROOT / "requirements.lock").read_text()
    assert _PINNED.sub("", text) == ""  # nothing in it without a hash
    return {canonicalize_name(name): version for name, version in _PINNED.findall(text)}


def test_every_pinned_version_is_locked_with_its_hashes() -> None:
    locked = _locked()
    pins = [line.split("==") for line in (ROOT / "constraints.txt").read_text().split()]
    assert pins
    assert {name: locked.get(canonicalize_name(name)) for name, _ in pins} == dict(pins)


def test_what_is_declared_is_locked_and_its_lower_bound_is_met() -> None:
    locked = _locked()
    declared = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    for text in declared:
        wanted = Requirement(text)
        assert wanted.specifier, f"{text} has no lower bound"
        assert wanted.specifier.contains(locked[canonicalize_name(wanted.name)]), text


@pytest.mark.slow
def test_every_licence_is_allowed_and_listed() -> None:
    found = licences("dev")
    assert {"torch", "numpy", "onnx", "pydantic-core", "pytest"} <= found.keys()
    assert {name: text for name, text in found.items() if refused(text)} == {}
    assert (ROOT / "docs/licences.md").read_text() == page()


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("MIT AND (Apache-2.0 OR GPL-3.0-only)", set()),
        ("MIT AND GPL-3.0-only", {"GPL-3.0-only"}),
        ("Some words", {"Some words"}),
        ("", {""}),
    ],
)
def test_a_licence_that_binds_the_user_is_refused(expression: str, wrong: set[str]) -> None:
    assert refused(expression) == wrong


@pytest.fixture
def offline() -> list[str]:
    """A command prefix for a name space without any network; not even the loop-back is up."""
    command = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") is None or subprocess.run([*command, "true"]).returncode != 0:
        pytest.skip("name spaces are not allowed here")
    return command


@pytest.mark.slow
def test_a_run_needs_no_network(
    offline: list[str], tiny: Artifact, voc: Path, tmp_path: Path
) -> None:
    """Import, quantize, validate, gate, report."""
    net, out = tmp_path / "net", tmp_path / "out"
    statistics = ["--mean", "0.485 0.456 0.406", "--std", "0.229 0.224 0.225"]
    commands: list[list[object]] = [
        ["import", tiny.path, *statistics, "--name", "net", "-o", net],
        ["quantize", net / "net-fp32.onnx", "--precision", "int8", "--target", "cpu",
         "--calibration", f"{voc}:train",
         "--samples", 2, "--min-self-agreement", 10, "-o", net],
        ["validate", net / "net-fp32.onnx", net / "net-int8.onnx", "--data", voc, "-o", out],
        ["gate", out / "result.json", "--max-drop", "int8=100"],
        ["report", out / "result.json", "-o", out],
    ]  # fmt: skip
    for command in commands:
        done = subprocess.run(
            [*offline, str(SCRIPT), *map(str, command)],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


def test_the_name_space_has_no_network(offline: list[str]) -> None:
    """The test above can fail: there a connection cannot even be begun."""
    code = "import socket; socket.create_connection(('127.0.0.1', 9), 2)"
    done = subprocess.run([*offline, sys.executable, "-c", code], capture_output=True, text=True)
    assert "Network is unreachable" in done.stderr
