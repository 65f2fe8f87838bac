"""One command-line option per written form of the verdicts."""

import inspect
from collections.abc import Mapping
from pathlib import Path

import typer

from segport.grouped_options import grouped, option
from validate.gating.formats.formats import FORMATS

Written = dict[str, Path]
"""Files to write, by the form's name."""


def _parameter(name: str) -> inspect.Parameter:
    described = typer.Option(f"--{name}", metavar="FILE", help=FORMATS[name].help)
    return option(_variable(name), Path, described)


def _files(given: Mapping[str, Path | None]) -> Written:
    files = ((name, given[_variable(name)]) for name in FORMATS)
    return {name: file for name, file in files if file is not None}


def _variable(name: str) -> str:
    return name.replace("-", "_")


with_formats = grouped("written", [_parameter(name) for name in FORMATS], _files)
"""Give a command an option for every form in FORMATS; it gets them all in `written`."""
