"""`segport predict`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from export.common.errors import DataError
from export.common.remote import location
from segport.arguments import AllowFallback, AsJson, Output, Runtime, Weights
from segport.output import say


def predict(
    artifact: Annotated[Path, typer.Argument(help="An artifact.")],
    source: Annotated[
        str,
        typer.Argument(
            help="An image, an animated one, or a folder of images (its subfolders, too); or a URL."
        ),
    ],
    out: Output,
    runtime: Runtime = None,
    weights: Weights = None,
    allow_fallback: AllowFallback = False,
    as_json: AsJson = False,
) -> None:
    """Write a palette mask and a colour overlay for each image, at its own size, and a legend.

    Images that cannot be read are left out; the exit code is then 2.
    """
    from segport.progress import stages

    with stages() as progress:
        step = progress.stage("predict")
        from export.artifact.artifact import load_artifact
        from validate.predict.prediction import predict as predict_images

        predicted = predict_images(
            load_artifact(artifact),
            location(source),
            out,
            runtime=runtime,
            weights=weights,
            allow_fallback=allow_fallback,
            progress=step,
        )
    if as_json:
        document = {
            "runtime": predicted.runtime.name,
            "provider": predicted.runtime.provider,
            "warnings": predicted.runtime.warnings,
            "legend": predicted.legend,
            "images": [asdict(image) for image in predicted.images],
            "failed": [asdict(failure) for failure in predicted.failed],
        }
        say(document, as_json)
    else:
        lines = [
            f"{picture.mask}  {picture.overlay}  {_shares(picture.classes)}"
            for picture in predicted.images
        ]
        lines += [f"warning: {text}" for text in predicted.runtime.warnings]
        lines += [f"not read: {failure.error}" for failure in predicted.failed]
        say("\n".join([*lines, f"colours: {predicted.legend}"]), as_json)
    if predicted.failed:
        total = len(predicted.failed) + len(predicted.images)
        raise DataError(
            f"{len(predicted.failed)} of {total} images could not be read, the others are written; "
            f"the first: {predicted.failed[0].error}"
        )


def _shares(classes: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.1f} %" for name, share in classes.items())
