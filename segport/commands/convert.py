"""`segport convert`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segport.arguments import AsJson, Force
from segport.conversion.formats import FORMATS
from segport.defaults import CONVERSION_AGREEMENT, CONVERSION_IMAGES
from segport.output import say
from segport.table_option import table_option

if TYPE_CHECKING:
    from segport.conversion.conversion import Converted


def convert(
    artifact: Annotated[Path, typer.Argument(help="An fp32 or int8 artifact.")],
    to: Annotated[str, table_option(help="{names}.", table=FORMATS)],
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write.")],
    images: Annotated[
        str, typer.Option(help="Images that judge it: ROOT[:SPLIT] (default val), or a folder.")
    ],
    samples: Annotated[int, typer.Option(min=1, help="How many of them.")] = CONVERSION_IMAGES,
    min_agreement: Annotated[
        float, typer.Option(help="Least match with onnxruntime, % of pixels.")
    ] = CONVERSION_AGREEMENT,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Convert a file for a runtime that reads no ONNX, and compare their masks."""
    from segport.api.converting import convert as make

    made = make(
        artifact, to, out, images=images, samples=samples, min_agreement=min_agreement, force=force
    )
    say(made.facts if as_json else _lines(made), as_json)


def _lines(made: "Converted") -> str:
    facts = made.facts
    judged = facts["agreement"]
    worst = min(one["percent"] for one in judged["images"])
    types: dict[str, int] = {}
    for kind, count in facts["operators"].items():
        dtype = kind.split()[1]
        types[dtype] = types.get(dtype, 0) + count
    counts = ", ".join(f"{count} in {dtype}" for dtype, count in sorted(types.items()))
    return "\n".join(
        [
            f"wrote {made.file} ({facts['bytes'] / 1e6:.2f} MB) and {made.file.name}.json",
            f"agrees with {judged['with']} on {judged['percent']:.2f} % of pixels of "
            f"{len(judged['images'])} images, {worst:.2f} % of the worst",
            f"operators: {counts}",
        ]
    )
