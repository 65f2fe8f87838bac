import platform
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from export.ort import providers, sessions
from segport.about import about
from tests.segport.command import segport
from tests.segport.process import SCRIPT, answers, process
from tests.segport.slowness import within


def _facts(text: str) -> dict[str, str]:
    return dict(line.split(maxsplit=1) for line in text.splitlines())


def test_version_says_what_a_bug_report_needs() -> None:
    answer = segport("--version")
    assert (answer.code, answer.err) == (0, "")
    facts = _facts(answer.out)
    assert next(iter(facts.items())) == ("segport", version("segport"))
    assert facts["python"] == f"{platform.python_version()}, {platform.platform()}"
    for package in (f"numpy {np.__version__}", f"torch {version('torch')}", "onnx ", "pillow "):
        assert package in facts["packages"]
    assert f"{sessions.threads()} threads" in facts["cpu"]
    assert "CPUExecutionProvider" in facts["providers"].split(", ")


def test_it_names_cpu_and_instruction_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"cpu": "Abacus 9", "machine": "x86_64", "threads": 3, "isa": ["avx2", "avx_vnni"]}
    monkeypatch.setattr(sessions, "cpu_facts", lambda: facts)
    assert _facts(about())["cpu"] == "Abacus 9, 3 threads, avx2, avx_vnni"


@pytest.mark.parametrize(("there", "said"), [(True, "usable"), (False, "none usable")])
def test_it_says_whether_cuda_can_be_used(
    monkeypatch: pytest.MonkeyPatch, there: bool, said: str
) -> None:
    monkeypatch.setattr(providers, "has_cuda", lambda: there)
    assert about().splitlines()[-1].split(maxsplit=2) == ["cuda", "device", said]


def test_itanswers_when_onnxruntime_is_broken(tmp_path: Path) -> None:
    """Of all times: then it is what the bug report is about."""
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libfoo.so.1 is\\nmissing')")
    answer = process(SCRIPT, "--version", PYTHONPATH=tmp_path)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert _facts(answer.stdout)["onnxruntime"] == "cannot be imported (libfoo.so.1 is)"


@pytest.mark.slow
def test_itanswers_in_about_a_second_without_torch() -> None:
    assert within(1.5, partial(answers, SCRIPT, "--version")) == []
    code = (
        "import sys; from segport.about import about; about()\n"
        "print(sorted({'torch', 'torchvision', 'onnx'} & set(sys.modules)))"
    )
    assert process(sys.executable, "-c", code).stdout == "[]\n"


def test_it_prints_text_only() -> None:
    answer = segport("--version", "--json")
    assert (answer.code, answer.out) == (2, "") and "--json" in answer.errors[0]
    assert len(answer.errors) == 1
