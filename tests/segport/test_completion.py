"""Shell completion, as a shell asks for it."""

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import shellingham

from export.artifact.outputs import OUTPUTS
from export.networks.table import OUTPUT_STRIDES
from quantize.precisions import IO_TYPES, PRECISIONS
from quantize.ranges.table import RANGE_RULES
from quantize.targets import TARGETS
from segport.cli import COMMANDS, GROUPS
from tests.segport.command import segport
from tests.segport.process import SCRIPT, process
from validate.report.table import REPORT_FORMATS
from validate.runtime.table import RUNTIMES
from validate.samples.protocols import PROTOCOLS


def _asked(line: str) -> dict[str, str]:
    """What bash puts into the environment to have a line completed."""
    words = line.split(" ")
    place = str(len(words) - 1)
    return {
        "_SEGPORT_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(words),
        "COMP_CWORD": place,
    }


def _completions(line: str) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _asked(line).items():
            patch.setenv(name, value)
        answer = segport()
    assert (answer.code, answer.err) == (0, "")
    return answer.out.split()


def test_commands_and_options_are_completed() -> None:
    assert _completions("segport qu") == ["quantize"]
    assert _completions("segport ") == [*COMMANDS, *GROUPS]
    assert _completions("segport quantize --p") == ["--precision", "--protocol"]
    assert "--version" in _completions("segport --")
    assert "--max-class-drop" in _completions("segport gate --max-")


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("quantize --precision ", PRECISIONS),
        ("quantize a.onnx --precision int8 --target ", [*TARGETS, "auto"]),
        ("quantize --range ", RANGE_RULES),
        ("quantize --io ", IO_TYPES),
        ("quantize --protocol ", PROTOCOLS),
        ("validate --protocol ", PROTOCOLS),
        ("validate --runtime ", RUNTIMES),
        ("predict --runtime ", RUNTIMES),
        ("report --format ", REPORT_FORMATS),
        ("export --output ", OUTPUTS),
        ("export --output-stride ", map(str, OUTPUT_STRIDES)),
        ("gate --on-inconclusive ", ("pass", "fail")),
    ],
)
def test_values_are_those_of_the_tables(line: str, values: Iterable[str]) -> None:
    assert sorted(_completions(f"segport {line}")) == sorted(values)


def test_a_value_that_was_begun_is_finished() -> None:
    assert _completions("segport validate --protocol c") == ["center-crop"]
    assert _completions("segport validate --protocol x") == []


def test_a_path_is_left_to_the_shell() -> None:
    """Answers would hide file names: bash offers them only when there is none."""
    for line in ("report ", "validate --data ", "export deeplabv3_mobilenet --weights "):
        assert _completions(f"segport {line}") == []


def test_completing_imports_nothing_heavy() -> None:
    code = (
        "import sys; from segport.cli import main\n"
        "try: main()\n"
        "except SystemExit as stopped: assert not stopped.code, stopped.code\n"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'numpy'} & set(sys.modules)))"
    )
    answer = process(
        sys.executable, "-c", code,
        _SEGPORT_COMPLETE="complete_bash", COMP_WORDS="segport quantize --target o", COMP_CWORD=3,
    )  # fmt: skip
    assert answer.stdout.splitlines() == ["openvino", "[]"], answer.stderr


def test_a_line_that_is_completed_is_not_executed(tmp_path: Path) -> None:
    for options in ("--version", "--show-completion bash", "--install-completion bash"):
        answer = process(SCRIPT, HOME=tmp_path, **_asked(f"segport {options} "))
        assert (answer.returncode, answer.stderr) == (0, "")
        assert answer.stdout.split() == [*COMMANDS, *GROUPS]
    assert list(tmp_path.iterdir()) == []


def test_zsh_and_fish_get_the_descriptions_too() -> None:
    zsh = process(SCRIPT, _SEGPORT_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="segport ga")
    assert '"gate":"Judge results' in zsh.stdout
    fish = process(
        SCRIPT,
        _SEGPORT_COMPLETE="complete_fish",
        _TYPER_COMPLETE_FISH_ACTION="get-args",
        _TYPER_COMPLETE_ARGS="segport ga",
    )
    assert fish.stdout.startswith("gate\tJudge results")


def test_bash_itself_completes_with_the_script() -> None:
    """The script as it is printed, in the shell that it is for."""
    bash = shutil.which("bash")
    assert bash
    lines = (
        'eval "$(segport --show-completion bash)"',
        "complete -p segport",
        "COMP_WORDS=(segport validate --protocol ce)",
        "COMP_CWORD=3",
        "_segport_completion segport",
        'echo "${COMPREPLY[@]}"',
    )
    answer = process(
        bash, "--norc", "-c", "\n".join(lines), PATH=f"{SCRIPT.parent}:{os.environ['PATH']}"
    )
    assert answer.stdout.splitlines() == [
        "complete -o default -F _segport_completion segport",
        "center-crop",
    ], answer.stderr


@pytest.mark.parametrize(
    ("shell", "says"),
    [
        ("bash", "complete -o default -F"),
        ("zsh", "#compdef segport"),
        ("fish", "complete --command segport"),
        ("pwsh", "Register-ArgumentCompleter"),
    ],
)
def test_the_script_is_for_the_shell_that_was_named(
    monkeypatch: pytest.MonkeyPatch, shell: str, says: str
) -> None:
    monkeypatch.setattr("segport.completion.detect_shell", lambda: ("bash", "/bin/bash"))
    answer = segport("--show-completion", shell)
    assert (answer.code, answer.err) == (0, "")
    assert says in answer.out and "_SEGPORT_COMPLETE" in answer.out


def test_without_a_name_it_is_for_the_shell_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segport.completion.detect_shell", lambda: ("fish", "/usr/bin/fish"))
    assert segport("--show-completion").out == segport("--show-completion", "fish").out
    assert segport("--show-completion", "auto").out == segport("--show-completion", "fish").out


def test_install_writes_what_show_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    answer = segport("--install-completion", "bash")
    file = tmp_path / ".bash_completions/segport.sh"
    assert (answer.code, answer.err) == (0, "") and str(file) in answer.out
    assert file.read_text() == segport("--show-completion", "bash").out.rstrip("\n")
    assert str(file) in (tmp_path / ".bashrc").read_text()


def _undetectable() -> tuple[str, str]:
    raise shellingham.ShellDetectionFailure


@pytest.mark.parametrize("detect", [lambda: ("dash", "/bin/dash"), _undetectable])
@pytest.mark.parametrize("option", ["--show-completion", "--install-completion"])
def test_a_shell_that_cannot_be_told_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, detect: object, option: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("segport.completion.detect_shell", detect)
    answer = segport(option)
    assert (answer.code, answer.out) == (2, "") and len(answer.errors) == 1
    assert "name the shell" in answer.errors[0] and list(tmp_path.iterdir()) == []


def test_an_unknown_shell_and_a_home_that_is_none_are_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unknown = segport("--show-completion", "csh")
    assert unknown.code == 2 and len(unknown.errors) == 1 and "'csh'" in unknown.errors[0]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    homeless = segport("--install-completion", "bash")
    assert homeless.code == 2 and len(homeless.errors) == 1
    assert str(tmp_path / "file") in homeless.errors[0]
