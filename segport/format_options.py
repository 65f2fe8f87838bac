"""One command-line option per written form of the verdicts."""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from validate.gating.formats.formats import FORMATS

Written = dict[str, Path]
"""Files to write, by the form's name."""


def with_formats(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for every form in FORMATS; it gets them all in `written`."""

    @wraps(command)
    def wrapper(**given: Any) -> None:
        files = {name: given.pop(_variable(name)) for name in FORMATS}
        command(**given, written={name: file for name, file in files.items() if file is not None})

    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.name != "written"]
    parameters = [*own, *map(_parameter, FORMATS)]
    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


def _variable(name: str) -> str:
    return name.replace("-", "_")


def _parameter(name: str) -> inspect.Parameter:
    option = typer.Option(f"--{name}", metavar="FILE", help=FORMATS[name].help)
    annotation = Annotated[Path | None, option]
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(_variable(name), keyword, default=None, annotation=annotation)
