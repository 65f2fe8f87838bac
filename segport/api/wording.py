"""Errors in the words of Python: the libraries name arguments as the command line does."""

import re
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from export.common.errors import SegportError

P = ParamSpec("P")
R = TypeVar("R")
_NAMES = {
    "range": "range_",
    "with": "with_",
    "calibration": "images",
    "out": "folder",
    "no-guard": "guard=False",
    "engine": "workers",
}
"""Options whose argument has another name."""
_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z0-9-]*)(?![\w-])")


def in_python(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function's SegportErrors say `max_drop` where they say --max-drop."""

    @wraps(function)
    def wrapper(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return function(*arguments, **named)
        except SegportError as error:
            error.args = (_OPTION.sub(_argument, str(error)),)
            raise

    return wrapper


def _argument(option: re.Match[str]) -> str:
    name = option.group(1)
    return _NAMES.get(name, name.replace("-", "_"))
