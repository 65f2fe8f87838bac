"""What only a process of its own shows: start-up time, imports, other people's packages."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.segport.command import Answer
from tests.segport.process import SCRIPT, answers, process
from tests.segport.slowness import within

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).resolve().parents[2]
Done = tuple[Answer, Path]


def _light_commands(done: Done, tmp_path: Path) -> list[list[object]]:
    result = done[1] / "squash/result.json"
    return [
        ["--help"],
        ["gate", "--help"],
        ["diagnose", "--help"],
        ["gate", result, "--max-drop", "int8=100"],
        ["report", result, "-o", tmp_path / "out", "--format", "md"],
    ]


def test_help_gate_and_report_answer_within_a_second(done: Done, tmp_path: Path) -> None:
    for arguments in _light_commands(done, tmp_path):
        assert within(1, partial(answers, SCRIPT, *arguments)) == [], arguments


def test_a_report_with_its_page_is_there_within_three_seconds(done: Done, tmp_path: Path) -> None:
    result = done[1] / "squash/result.json"
    assert within(3, partial(answers, SCRIPT, "report", result, "-o", tmp_path / "out")) == []


def test_help_gate_and_report_do_not_import_torch(done: Done, tmp_path: Path) -> None:
    heavy = {"torch", "torchvision", "onnxruntime"}
    code = (
        "import sys; from segport.cli import main\n"
        "try: main()\n"
        "except SystemExit as stopped: assert not stopped.code, stopped.code\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    for arguments in _light_commands(done, tmp_path):
        answer = process(sys.executable, "-c", code, *arguments)
        assert answer.returncode == 0, answer.stderr
        more = {"onnx", "matplotlib", "numpy"} if "--help" in arguments else set()
        (loaded,) = answer.stderr.splitlines()
        assert not (heavy | more) & set(loaded.split()), arguments
        assert answer.stdout


def test_it_runs_as_a_module_too() -> None:
    answer = process(sys.executable, "-m", "segport", "--help", PYTHONPATH=str(REPOSITORY))
    assert answer.returncode == 0 and answer.stderr == ""
    for command in ("models", "export", "import", "quantize", "validate", "report", "gate", "run"):
        assert f" {command} " in answer.stdout
    assert "segport" in answer.stdout.splitlines()[1]


@pytest.mark.parametrize("package", ["export", "quantize", "validate"])
def test_somebody_elses_package_is_refused_with_one_line(tmp_path: Path, package: str) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("")
    answer = process(SCRIPT, "--help", PYTHONPATH=str(tmp_path))
    assert (answer.returncode, answer.stdout) == (2, "")
    (line,) = answer.stderr.splitlines()
    assert line.startswith("segport: ") and f"'{package}'" in line and str(tmp_path) in line


def test_bad_input_is_one_line_in_a_real_process_too(tmp_path: Path) -> None:
    """With everything that libraries may write to standard error on their own."""
    (tmp_path / "tiny.pth").write_bytes(b"PK\x03\x04 truncated")
    answer = process(
        SCRIPT, "export", "tests.networks:tiny", "--weights", tmp_path / "tiny.pth",
        "-o", tmp_path / "out", PYTHONPATH=str(REPOSITORY),
    )  # fmt: skip
    assert (answer.returncode, answer.stdout) == (2, "")
    stage, line = answer.stderr.splitlines()
    assert stage.rstrip(" .").endswith(" export tests.networks:tiny")
    assert line.startswith(f"segport: checkpoint {tmp_path / 'tiny.pth'}: truncated")
    assert not (tmp_path / "out").exists()


def test_a_json_document_is_all_that_a_real_process_prints(tmp_path: Path) -> None:
    """The exporter and onnxruntime print to both streams when they are let."""
    answer = process(
        SCRIPT, "export", "tests.networks:tiny", "--weights", "default", "--size", 65, 65,
        "-o", tmp_path / "out", "--json", PYTHONPATH=str(REPOSITORY),
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["manifest"]["precision"] == "fp32"
    assert len(answer.stderr.splitlines()) == 1  # the stage


def test_a_users_network_is_found_in_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def net():\n    return 'no network'\n")
    answer = subprocess.run(
        [str(SCRIPT), "export", "mine:net", "--weights", "default", "-o", "out"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        check=False,
    )
    assert answer.returncode == 2
    assert answer.stderr.splitlines()[-1].endswith("mine:net: returned str, not a torch module")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_answer_that_cannot_be_written_is_one_line(unbuffered: str, done: Done) -> None:
    result = done[1] / "squash/result.json"
    with Path("/dev/full").open("w") as full:
        answer = subprocess.run(
            [SCRIPT, "gate", result, "--max-drop", "int8=100", "--json"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert answer.returncode == 2
    assert answer.stderr.splitlines()[-1] == (
        "segport: standard output: cannot write to it (No space left on device)"
    )
    assert "Traceback" not in answer.stderr and "Exception" not in answer.stderr
