"""Shell completion: `--show-completion [SHELL]` and `--install-completion [SHELL]`.

typer's own two options ignore a shell that is named as long as they can detect one, and end
with exit code 1 where they cannot. These print and write the same scripts.
"""

from enum import StrEnum
from typing import Annotated

import typer
from shellingham import ShellDetectionFailure, detect_shell
from typer.completion import completion_init, get_completion_script, install

from export.common.errors import UsageError

PROGRAM = "segport"
_OPTIONS = ("--install-completion", "--show-completion")
_VARIABLE = "_SEGPORT_COMPLETE"


class Shell(StrEnum):
    """What --show-completion and --install-completion take."""

    AUTO = "auto"
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
    POWERSHELL = "powershell"
    PWSH = "pwsh"


_SHELLS = [shell for shell in Shell if shell is not Shell.AUTO]


def name_shell(arguments: list[str]) -> list[str]:
    """The shell may be left out where click wants a value."""
    missing = bool(arguments) and arguments[-1] in _OPTIONS
    return [*arguments, Shell.AUTO] if missing else arguments


def _named(shell: Shell) -> str:
    if shell is not Shell.AUTO:
        return shell
    try:
        name = detect_shell()[0]
    except ShellDetectionFailure:
        name = ""
    if name in set(Shell):
        return str(name)
    raise UsageError(
        f"completion: this is not one of {', '.join(_SHELLS)}; name the shell you mean"
    )


def _show(context: typer.Context, shell: Shell | None) -> None:
    if shell is None or context.resilient_parsing:  # a shell is completing this very line
        return
    print(get_completion_script(prog_name=PROGRAM, complete_var=_VARIABLE, shell=_named(shell)))
    raise typer.Exit


def _install(context: typer.Context, shell: Shell | None) -> None:
    if shell is None or context.resilient_parsing:
        return
    try:
        name, file = install(shell=_named(shell), prog_name=PROGRAM, complete_var=_VARIABLE)
    except OSError as error:
        raise UsageError(f"completion: {error.filename}: {error.strerror}") from error
    print(f"{name} completion is in {file}; the next {name} has it")
    raise typer.Exit


InstallCompletion = Annotated[
    Shell | None,
    typer.Option(callback=_install, is_eager=True, help="Install completion for a shell."),
]
ShowCompletion = Annotated[
    Shell | None,
    typer.Option(callback=_show, is_eager=True, help="Print what that would write."),
]
completion_init()  # typer does it only for its own two options
