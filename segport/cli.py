"""The command line: a table of commands, and errors as one line."""

import sys
from collections.abc import Callable
from typing import Any, NoReturn

import typer

from export.errors import SegportError
from segport.about import Version
from segport.arguments import expand_dynamic, join_numbers
from segport.commands.bench import bench
from segport.commands.compare import compare
from segport.commands.diagnose import diagnose
from segport.commands.export import export
from segport.commands.gate import gate
from segport.commands.import_ import import_
from segport.commands.index import index
from segport.commands.inspect import inspect
from segport.commands.lint import lint
from segport.commands.models import models
from segport.commands.predict import predict
from segport.commands.profile import profile
from segport.commands.quantize import quantize
from segport.commands.report import report
from segport.commands.run import run
from segport.commands.validate import validate
from segport.completion import InstallCompletion, ShowCompletion, name_shell

BAD_INPUT = 2
INTERRUPTED = 130

COMMANDS: dict[str, Callable[..., None]] = {
    "models": models,
    "export": export,
    "inspect": inspect,
    "import": import_,
    "quantize": quantize,
    "lint": lint,
    "validate": validate,
    "compare": compare,
    "bench": bench,
    "profile": profile,
    "diagnose": diagnose,
    "report": report,
    "index": index,
    "gate": gate,
    "run": run,
    "predict": predict,
}

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,  # segport.completion has its own options for it
    help="Trained segmentation networks to verified ONNX files, and what each of them lost.",
)
for name, command in COMMANDS.items():
    app.command(name)(command)


@app.callback()
def options(
    version: Version = False,
    install_completion: InstallCompletion = None,
    show_completion: ShowCompletion = None,
) -> None:
    """Options without a command; each of them answers and ends."""


# typer exports only this child of the class that all wrong options and arguments raise
_OptionError: Any = typer.BadParameter.__mro__[1]


def main() -> None:
    """Run a command; every error a user can cause is one line and exit code 2."""
    arguments = name_shell(join_numbers(expand_dynamic(sys.argv[1:]))) or ["--help"]
    try:
        code = app(args=arguments, prog_name="segport", standalone_mode=False)
    except SegportError as error:
        _refuse(str(error))
    except typer.Abort:
        sys.exit(INTERRUPTED)
    except Exception as error:
        if not isinstance(error, _OptionError):
            raise
        _refuse(f"{error.format_message()} See 'segport {_command(arguments)}--help'.")
    sys.exit(code or 0)


def _refuse(message: str) -> NoReturn:
    print(f"segport: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(BAD_INPUT)


def _command(arguments: list[str]) -> str:
    return f"{arguments[0]} " if arguments[0] in COMMANDS else ""
