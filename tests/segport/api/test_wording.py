"""Errors name arguments in the words of who reads them."""

import inspect
from pathlib import Path

import pytest

import segport
from export.artifact.artifact import Artifact
from tests.segport.command import segport as command


def test_python_is_told_of_arguments_and_the_command_line_of_options(
    tiny: Artifact, tmp_path: Path
) -> None:
    with pytest.raises(segport.SegportError) as raised:
        segport.quantize(tiny, max_drop=1.0, min_agreement=99.0, progress=False)
    assert str(raised.value) == "max_drop and min_agreement: choose one of them"
    answer = command("quantize", tiny.path, "--precision", "int8", "-o", tmp_path,
                     "--max-drop", 1, "--min-agreement", 99)  # fmt: skip
    assert answer.errors == ["segport: --max-drop and --min-agreement: choose one of them"]


def test_an_argument_that_has_another_name_is_called_by_it(tiny: Artifact) -> None:
    with pytest.raises(segport.SegportError, match=r"give images DATA$"):
        segport.quantize(tiny, progress=False)


def test_the_functions_are_still_themselves() -> None:
    assert "images" in inspect.signature(segport.quantize).parameters
    assert segport.quantize is segport.quantize
    assert (segport.quantize.__doc__ or "").startswith("Make an fp16 or int8 artifact")
