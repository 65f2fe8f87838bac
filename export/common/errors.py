"""Every error a user can cause: one line that says what was wrong, where, and what to do.

The command line prints the message without a traceback and exits with code 2.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class SegportError(Exception):
    """Base of all errors that Segport raises on purpose."""


class UsageError(SegportError):
    """An option, name or recipe key that Segport does not know or cannot combine."""


class CheckpointError(SegportError):
    """A checkpoint that cannot be read safely or does not fit the network."""


class ExportError(SegportError):
    """The exported file breaks the contract that was asked for."""


class ArtifactError(SegportError):
    """An ONNX file or manifest that is missing, damaged or not one of ours."""


class DataError(SegportError):
    """Images, masks or image lists that cannot be used."""


class CalibrationError(SegportError):
    """Calibration images that are missing or give unusable ranges."""


class QuantizeError(SegportError):
    """The quantized file is not what its target promises."""


class RuntimeUnavailableError(SegportError):
    """A runtime or execution provider that this machine does not have."""


class ComparisonError(SegportError):
    """Two results that may not be compared."""


def first_line(error: BaseException) -> str:
    """Return the first line of somebody else's error message, or its class where it says none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def unknown(kind: str, name: str, choices: Iterable[str]) -> str:
    """Return the message for an unknown `name`, with the nearest of `choices` first."""
    options = sorted(choices)
    lowered = {option.lower(): option for option in options}
    near = get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    hint = f"did you mean '{lowered[near[0]]}'? " if near else ""
    return f"unknown {kind} '{name}': {hint}known are {', '.join(options)}"
