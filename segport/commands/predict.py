"""`segport predict`."""

from pathlib import Path
from typing import Annotated

import typer

from segport.arguments import AsJson, Output, Runtime
from segport.output import say


def predict(
    artifact: Annotated[Path, typer.Argument(help="An artifact.")],
    source: Annotated[Path, typer.Argument(help="An image or a folder of images.")],
    out: Output,
    runtime: Runtime = None,
    as_json: AsJson = False,
) -> None:
    """Write a palette mask and a colour overlay for each image, at its own size."""
    from segport.progress import stages

    with stages() as progress:
        step = progress.stage("predict")
        from export.artifact import load_artifact
        from validate.prediction import predict as predict_images

        found = predict_images(load_artifact(artifact), source, out, runtime=runtime, progress=step)
    lines = [f"{p.mask}  {p.overlay}  {', '.join(p.classes)}" for p in found]
    say([vars(prediction) for prediction in found] if as_json else "\n".join(lines), as_json)
