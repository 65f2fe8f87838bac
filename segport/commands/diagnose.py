"""`segport diagnose`."""

from pathlib import Path
from typing import Annotated

import typer

from segport.arguments import AsJson, Output, Protocol
from segport.output import say
from validate.samples.protocols import DEFAULT_PROTOCOL


def diagnose(
    fp32: Annotated[Path, typer.Argument(help="The fp32 artifact.")],
    other: Annotated[
        Path, typer.Argument(help="An fp16 or int8 artifact made from it, or another fp32 one.")
    ],
    data: Annotated[str, typer.Option(help="VOC_ROOT[:SPLIT] (default split val) or a folder.")],
    out: Output,
    protocol: Protocol = DEFAULT_PROTOCOL,
    limit: Annotated[int, typer.Option(help="Use the first N images.")] = 8,
    as_json: AsJson = False,
) -> None:
    """Compare two artifacts tensor by tensor; name the layer an error comes from."""
    from segport.progress import stages

    with stages() as progress:
        step = progress.stage("diagnose")
        from export.artifact.artifact import load_artifact
        from export.common.files import check_writable
        from quantize.diagnosis.diagnosis import diagnose as compare
        from validate.data.datasets import open_dataset
        from validate.report.diagnosis_report import terminal_diagnosis, write_diagnosis
        from validate.samples.samples import Preparation, Samples

        check_writable(out)
        reference = load_artifact(fp32)
        dataset = open_dataset(data, "val", masks=False).first(limit)
        samples = Samples(dataset, Preparation.for_artifact(reference.manifest, protocol))
        diagnosis = compare(reference, load_artifact(other), samples, progress=step)
        files = write_diagnosis(diagnosis, out)
    if as_json:
        say({"files": [str(file) for file in files], **diagnosis.as_dict()}, as_json)
        return
    written = "\n".join(f"wrote {file}" for file in files)
    say(f"{terminal_diagnosis(diagnosis)}\n\n{written}", as_json)
