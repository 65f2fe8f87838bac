"""Options that several commands share, and their texts turned into values."""

from pathlib import Path
from typing import Annotated

import typer

from export.artifact.classes import PRESETS
from export.common.errors import UsageError
from segport.table_option import table_option
from validate.runtime.table import RUNTIMES
from validate.samples.label_map import LABEL_MAPS
from validate.samples.protocols import PROTOCOLS
from validate.samples.trap_table import TRAPS

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Output = Annotated[Path, typer.Option("-o", "--out", help="Folder to write to.")]
Protocol = Annotated[str, table_option(help="{names}.", table=PROTOCOLS)]
Download = Annotated[
    bool,
    typer.Option("--download", help="Fetch VOC or SBD if not there."),
]
Runtime = Annotated[
    str | None,
    table_option(
        help="{names}. Default: ort-cpu; for fp16 ort-cuda where there is a GPU, else ort-fp16, "
        "which emulates it.",
        table=RUNTIMES,
    ),
]
AllowFallback = Annotated[
    bool,
    typer.Option("--allow-fallback", help="Without a GPU take what is there, and say so."),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="CPUs to pin, one thread on each. Default: all."),
]
SizeText = Annotated[
    tuple[str, str] | None, typer.Option("--size", help="Height and width, or 'dynamic'.")
]


Classes = Annotated[
    str | None,
    table_option(
        help="{names}, names with commas between them, their number, or a file with a name per "
        "line. Default: the network's own, else voc.",
        table=PRESETS,
    ),
]
LabelMap = Annotated[
    str | None,
    table_option(
        "--labels",
        help="What masks hold: {names}, or a TOML file. Default: indices.",
        table=LABEL_MAPS,
    ),
]
MaskSuffix = Annotated[
    str | None,
    typer.Option("--mask-suffix", help="End of masks' names, such as _mask."),
]
Accept = Annotated[
    list[str] | None,
    table_option(help="Label oddities to accept: {names}.", table=TRAPS),
]
Weights = Annotated[
    str | None,
    typer.Option(help="For torch as reference or runtime: the checkpoint exported from."),
]
Name = Annotated[str | None, typer.Option(help="Name of the artifacts.")]
Threshold = Annotated[
    float, typer.Option(help="Binary networks: probability from which a pixel is the class.")
]
Force = Annotated[bool, typer.Option("--force", help="Write the file anyway.")]
Numbers = str | None
"""Of an option that takes one number or several; see `join_numbers`."""
_NUMBERS = ("--mean", "--std")


def join_numbers(arguments: list[str]) -> list[str]:
    """`--mean 0.5` and `--mean R G B` become one word each; click wants a fixed number."""
    joined: list[str] = []
    for argument in arguments:
        if _is_number(argument) and joined[-2:-1] and joined[-2] in _NUMBERS:
            joined[-1] += f" {argument}"  # after the option and its first number
        else:
            joined.append(argument)
    return joined


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def check_numbers(text: str | None) -> str | None:
    """Raise BadParameter unless an option has 1, 3 or 4 numbers."""
    words = (text or "0").replace(",", " ").split()
    if len(words) not in (1, 3, 4) or not all(map(_is_number, words)):
        raise typer.BadParameter(f"'{text}' is neither one number nor one per channel (R G B).")
    return text


def parse_numbers(text: str | None) -> tuple[float, ...] | None:
    """Return the numbers of an option; None when it was not given."""
    return None if text is None else tuple(map(float, text.replace(",", " ").split()))


def expand_dynamic(arguments: list[str]) -> list[str]:
    """`--size dynamic` is one word where `--size H W` are two; click wants a fixed number."""
    expanded: list[str] = []
    for argument in arguments:
        expanded.append(argument)
        if argument == "dynamic" and expanded[-2:-1] == ["--size"]:
            expanded.append(argument)
    return expanded


def parse_size(
    text: tuple[str, str] | None, default: tuple[int, int] | None
) -> tuple[int, int] | None:
    """Return (height, width), None for dynamic, or `default` when nothing was given."""
    if text is None:
        return default
    if text == ("dynamic", "dynamic"):
        return None
    try:
        return int(text[0]), int(text[1])
    except ValueError as error:
        raise UsageError(f"--size {' '.join(text)}: give height and width, or 'dynamic'") from error


def parse_batch(text: str) -> int | None:
    """Return the batch size, None for dynamic."""
    if text == "dynamic":
        return None
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(f"--batch {text}: give a number or 'dynamic'") from error
