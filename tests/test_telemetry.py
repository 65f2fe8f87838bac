"""onnxruntime tells its maker nothing about the machine it runs on."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from export.artifact.artifact import Artifact
from tests.segport.process import SCRIPT, process

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("export", "quantize", "segport", "validate")

_IMPORT_EACH = """
import importlib, os, sys

class Stopped(ImportError): pass

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "onnxruntime":
            raise Stopped(name)

sys.meta_path.insert(0, Watch())
for module in sys.argv[1:]:
    os.environ.pop("ORT_DISABLE_TELEMETRY", None)
    for name in [n for n in sys.modules if n.partition(".")[0] in {packages}]:
        del sys.modules[name]
    try:
        importlib.import_module(module)
    except Stopped:
        pass
    assert os.environ.get("ORT_DISABLE_TELEMETRY") == "1", module
    print(module)
"""

_OPEN_AND_WAIT = """
import sys, time
from pathlib import Path
from export.ort.sessions import open_session
open_session(Path(sys.argv[1]))
time.sleep(15)  # the first look-up comes after ten
"""


def _imports_onnxruntime(file: Path) -> bool:
    names = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return any(name.partition(".")[0] == "onnxruntime" for name in names)


@pytest.mark.slow
def test_no_module_imports_onnxruntime_before_its_telemetry_is_off() -> None:
    modules = [
        ".".join(file.relative_to(REPOSITORY).with_suffix("").parts)
        for package in PACKAGES
        for file in sorted((REPOSITORY / package).rglob("*.py"))
        if _imports_onnxruntime(file)
    ]
    assert {"export.ort.sessions", "quantize.graph.qdq", "validate.runtime.ort"} <= set(modules)

    code = _IMPORT_EACH.replace("{packages}", repr(PACKAGES))
    answer = process(sys.executable, "-c", code, *modules, PYTHONPATH=REPOSITORY)

    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == modules


@pytest.mark.slow
def test_a_command_leaves_nothing_in_the_home_nor_among_temporary_files(
    tmp_path: Path, tiny: Artifact
) -> None:
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    command = [SCRIPT, "quantize", tiny.path, "--precision", "fp16", "-o", tmp_path / "out"]

    answer = process(*command, HOME=home, TMPDIR=temporary, XDG_CACHE_HOME=home / "cache")

    assert answer.returncode == 0, answer.stderr
    assert [*home.rglob("*"), *temporary.rglob("*")] == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not there")
def test_a_session_reaches_for_no_network(tmp_path: Path, tiny: Artifact) -> None:
    log = tmp_path / "strace"
    tracer = ["strace", "--follow-forks", "--trace=connect,sendto,sendmsg", "--output", str(log)]
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}

    subprocess.run(
        [*tracer, sys.executable, "-c", _OPEN_AND_WAIT, str(tiny.path)],
        check=True,
        env=environment,
        timeout=120,
    )

    assert [line for line in log.read_text().splitlines() if "(" in line] == []
