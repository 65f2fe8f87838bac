"""The command line: a table of commands, and errors as one line."""

import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, NoReturn

import typer

from export.common.errors import SegportError, first_line
from export.common.escaping import terminal
from segport import signals
from segport.about import Version
from segport.arguments import expand_dynamic, join_numbers
from segport.commands.bench import bench
from segport.commands.compare import compare
from segport.commands.convert import convert
from segport.commands.diagnose import diagnose
from segport.commands.doctor import doctor
from segport.commands.export import export
from segport.commands.gate import gate
from segport.commands.history import history
from segport.commands.import_ import import_
from segport.commands.index import index
from segport.commands.inspect import inspect
from segport.commands.lint import lint
from segport.commands.models import models
from segport.commands.package import package
from segport.commands.predict import predict
from segport.commands.profile import profile
from segport.commands.quantize import quantize
from segport.commands.report import report
from segport.commands.run import run
from segport.commands.serve import serve
from segport.commands.sweep import sweep
from segport.commands.validate import validate
from segport.commands.verify import verify
from segport.completion import InstallCompletion, ShowCompletion, name_shell
from segport.defect import defect
from segport.progress import be_quiet, be_read_by_programs

BAD_INPUT = 2
INTERRUPTED = 130
READER_GONE = 141
TERMINATED = 143
_NO_MEMORY = ("std::bad_alloc", "can't start new thread", "Cannot allocate memory")
"""How libraries say that memory ran out, in errors of other classes."""

COMMANDS: dict[str, Callable[..., None]] = {
    "models": models,
    "export": export,
    "inspect": inspect,
    "import": import_,
    "quantize": quantize,
    "convert": convert,
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
    "sweep": sweep,
    "package": package,
    "verify": verify,
    "predict": predict,
    "serve": serve,
    "doctor": doctor,
}

EXAMPLES = {
    "models": "segport models",
    "export": "segport export deeplabv3_mobilenet_v3_large --weights default -o out",
    "inspect": "segport inspect theirs.onnx",
    "import": "segport import theirs.onnx --size 513 513 -o out",
    "quantize": "segport quantize out/net-fp32.onnx --precision int8 --calibration photos -o out",
    "convert": "segport convert out/net-int8-litert.onnx --to litert --images photos -o net.tflite",
    "lint": "segport lint out/net-fp32.onnx",
    "validate": "segport validate out/net-fp32.onnx out/net-int8.onnx --data VOCdevkit -o result",
    "compare": "segport compare before/result.json after/result.json",
    "bench": "segport bench out/net-fp32.onnx out/net-int8.onnx",
    "profile": "segport profile out/net-int8.onnx",
    "diagnose": "segport diagnose out/net-fp32.onnx out/net-int8.onnx --data VOCdevkit -o why",
    "report": "segport report result/result.json -o page",
    "index": "segport index results",
    "gate": "segport gate result/result.json --max-drop int8=0.5",
    "run": "segport run demo",
    "sweep": "segport sweep sweep.toml -o fleet --pick 'drop<=0.5'",
    "package": "segport package out/net-fp32.onnx out/net-int8.onnx -o package",
    "verify": "segport verify package",
    "predict": "segport predict out/net-int8.onnx photos -o masks",
    "serve": "segport serve out/net-fp32.onnx out/net-int8.onnx",
    "doctor": "segport doctor",
}
"""What is shown at the end of each command's help."""
STAGES = {
    "Make files": ("models", "inspect", "import", "export", "quantize", "convert", "run", "sweep"),
    "Judge them": ("validate", "compare", "report", "index", "gate", "history"),
    "Look inside": ("lint", "bench", "profile", "diagnose"),
    "Hand over": ("package", "verify"),
    "Use": ("predict", "serve", "doctor"),
}
"""Panels of `segport --help`."""
_PANEL = {name: panel for panel, names in STAGES.items() for name in names}

_HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    no_args_is_help=True,
    context_settings=_HELP,
    pretty_exceptions_enable=False,
    add_completion=False,  # segport.completion has its own options for it
    help="Trained segmentation networks to verified ONNX files, and what each of them lost.",
)
for name, command in COMMANDS.items():
    app.command(
        name,
        context_settings=_HELP,
        epilog=f"Example: {EXAMPLES[name]}",
        rich_help_panel=_PANEL[name],
    )(command)
GROUPS = {"history": history}
for name, group in GROUPS.items():
    app.add_typer(
        group,
        name=name,
        no_args_is_help=True,
        context_settings=_HELP,
        rich_help_panel=_PANEL[name],
    )


@app.callback()
def options(
    version: Version = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Show no progress, only the answer.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Show the traceback of an error, too.")
    ] = False,
    json_lines: Annotated[
        bool,
        typer.Option("--json-lines", help="Show progress as JSON, one document a line."),
    ] = False,
    install_completion: InstallCompletion = None,
    show_completion: ShowCompletion = None,
) -> None:
    """Options before a command: -q, -v, --json-lines go with any, others answer and end."""
    be_quiet(quiet)
    be_read_by_programs(json_lines)
    if verbose:
        os.environ["SEGPORT_TRACEBACK"] = "1"


# typer exports only this child of the class that all wrong options and arguments raise
_OptionError: Any = typer.BadParameter.__mro__[1]


def main() -> None:
    """Run a command; everything that goes wrong is one line and exit code 2.

    Never 1, which says that the gate found a regression. 130 is an interrupt, 143 SIGTERM, 141
    a reader of standard output that has gone. `SEGPORT_TRACEBACK=1` shows tracebacks.
    """
    arguments = name_shell(join_numbers(expand_dynamic(sys.argv[1:]))) or ["--help"]
    try:
        with signals.exceptions():
            code = app(args=arguments, prog_name="segport", standalone_mode=False)
        if code == INTERRUPTED:  # what typer makes of the exception
            raise KeyboardInterrupt
    except (typer.Abort, KeyboardInterrupt):
        _end(INTERRUPTED, "interrupted")
    except signals.Terminated:
        _end(TERMINATED, "terminated")
    except SystemExit as ended:  # click's way out where the reader of its output has gone
        sys.exit(READER_GONE if ended.code == 1 else ended.code)
    except Exception as error:
        if os.environ.get("SEGPORT_TRACEBACK") == "1" and not isinstance(error, _OptionError):
            traceback.print_exception(error)
        _end(BAD_INPUT, _explain(error, arguments))
    sys.exit(code or 0)


def _explain(error: Exception, arguments: list[str]) -> str:
    if isinstance(error, SegportError):
        return str(error)
    if isinstance(error, _OptionError):
        return f"{error.format_message()} See 'segport {_command(arguments)}--help'."
    if isinstance(error, OSError):  # a full disk, a folder that vanished: the machine's, not ours
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or first_line(error)}"
    if isinstance(error, MemoryError) or any(sign in str(error) for sign in _NO_MEMORY):
        return f"memory ran out ({first_line(error)})"
    return defect(error)


def _end(code: int, message: str) -> NoReturn:
    with suppress(OSError, ValueError):  # standard error may be full, closed or gone
        print(f"segport: {terminal(' '.join(message.split()))}", file=sys.stderr, flush=True)
    sys.exit(code)


def _command(arguments: list[str]) -> str:
    named = next((word for word in arguments if not word.startswith("-")), "")
    return f"{named} " if named in (*COMMANDS, *GROUPS) else ""
