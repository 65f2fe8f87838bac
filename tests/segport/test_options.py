"""What is said twice, in the signatures of commands and of Python, says the same."""

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

import segport
from segport.cli import COMMANDS
from segport.recipe import (
    ArtifactSection,
    DataSection,
    ModelSection,
    PackageSection,
    ValidateSection,
)

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "export": segport.export,
    "import": segport.import_,
    "quantize": segport.quantize,
    "validate": segport.validate,
    "package": segport.package,
    "run": segport.run,
}
SECTIONS: dict[str, tuple[type[BaseModel], ...]] = {
    "export": (ModelSection,),
    "import": (ModelSection,),
    "quantize": (DataSection, ArtifactSection),
    "validate": (DataSection, ValidateSection),
    "package": (PackageSection,),
}
MEANT = {
    ("export", "size"): "the command takes two words, and says the default in them",
    ("export", "batch"): "the command takes a number or 'dynamic'",
    ("export", "weights"): "a name needs them on the command line, a module brings its own",
    ("import", "classes"): "the command's None is 'voc'",
    ("quantize", "precision"): "int8 in Python, and always said on the command line",
    ("quantize", "target"): "a recipe gives the same file on every machine",
    ("quantize", "calibration"): "a recipe needs images",
}
"""Where defaults differ, and why."""

RENAMED = {
    "out": "folder",
    "model": "network",
    "calibration": "images",
    "no_guard": "guard",
} | dict.fromkeys(("engine", "threads", "gpus", "time_limit", "address"), "workers")
"""Options whose argument in Python has another name."""
ONE_SIDED = {"as_json", "progress", "command", "gate"}
"""What only one of the two needs."""


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {p.name: () if p.default is None else p.default for p in parameters}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_commands_and_python_have_the_same_defaults(name: str) -> None:
    command, function = _defaults(COMMANDS[name]), _defaults(FUNCTIONS[name])
    shared = {key for key in command.keys() & function.keys() if (name, key) not in MEANT}
    assert len(shared) >= 2
    assert {key: command[key] for key in shared} == {key: function[key] for key in shared}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_option_is_an_argument_and_every_argument_an_option(name: str) -> None:
    options, arguments = _defaults(COMMANDS[name]).keys(), _defaults(FUNCTIONS[name]).keys()
    named = {key if key in arguments else RENAMED.get(key, key) for key in options}
    assert named ^ arguments <= ONE_SIDED


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_documentation_of_a_function_lists_its_arguments(name: str) -> None:
    text = inspect.cleandoc(FUNCTIONS[name].__doc__ or "").split("Args:")[1].split("Raises:")[0]
    documented = re.findall(r"^    (\w+): ", text, re.MULTILINE)
    assert documented == list(_defaults(FUNCTIONS[name]))


@pytest.mark.parametrize("name", SECTIONS)
def test_commands_and_recipes_have_the_same_defaults(name: str) -> None:
    command = {key.rstrip("_"): value for key, value in _defaults(COMMANDS[name]).items()}
    for section in SECTIONS[name]:
        for field, info in section.model_fields.items():
            key = info.alias or field
            if key in command and (name, key) not in MEANT and not info.is_required():
                default = () if info.default is None else info.default
                assert default == command[key], f"{section.__name__}.{key}"
