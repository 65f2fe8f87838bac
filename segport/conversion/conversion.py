"""Convert an artifact, and keep the file only if it gives the masks that onnxruntime gives."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from export.artifact.artifact import Artifact
from export.artifact.class_map import classes_of
from export.artifact.manifest import OutputSpec
from export.artifact.sample import Sample, origin_of
from export.common.errors import ExportError, SegportError, UsageError
from export.common.files import check_writable, new_files
from export.common.progress import Progress
from export.common.tables import known
from export.common.versions import versions
from export.onnx_graph.graph import infer_shapes
from export.ort.sessions import open_session, run
from quantize.rewrites.operators.pooling import simplify_pooling
from segport.conversion.formats import FORMATS, Format
from segport.conversion.runner import Runner


@dataclass(frozen=True)
class Converted:
    """A converted file; `facts` are what the JSON beside it holds."""

    file: Path
    facts: dict[str, Any]

    @property
    def agreement(self) -> float:
        """Percent of pixels with the class that onnxruntime gives them."""
        return float(self.facts["agreement"]["percent"])


def check(artifact: Artifact, to: str, file: Path, least: float) -> Format:
    """Return the format.

    Raises UsageError for what cannot be asked for, ArtifactError for a place that cannot be
    written to, before any work.
    """
    form = known("format", to, FORMATS)
    if file.suffix != form.suffix:
        raise UsageError(f"-o {file}: files for {to} end in {form.suffix}")
    if not 0 <= least <= 100:
        raise UsageError(f"--min-agreement {least:g}: give a number from 0 to 100")
    if file.is_dir():
        raise UsageError(f"-o {file}: is a folder; name a file")
    check_writable(file.parent)
    if artifact.manifest.precision == "fp16":
        raise UsageError(
            f"{artifact.path}: fp16 files are not converted; convert the fp32 one, which {to} "
            "computes in float16 where its hardware does"
        )
    return form


def convert(
    artifact: Artifact,
    to: str,
    file: Path,
    samples: Sequence[Sample],
    *,
    least: float,
    force: bool = False,
    progress: Progress,
) -> Converted:
    """Write `file` and, beside it, FILE.json, both or neither.

    Raises ExportError naming the nodes that have no equal, or where less than `least` percent of
    pixels keep their class, unless `force`.
    """
    form = check(artifact, to, file, least)
    model = simplify_pooling(infer_shapes(onnx.load(artifact.path)), {}).model
    try:
        content, operators = form.write(model)
        agreement = _judged(artifact, form.open(content), samples, progress)
    except SegportError as error:
        raise type(error)(f"{artifact.path}: {error}; nothing was written") from error
    percent = float(np.mean([one["percent"] for one in agreement]))
    if not percent >= least and not force:
        raise ExportError(
            f"{file.name}: agrees with onnxruntime on {percent:.2f} % of pixels of "
            f"{len(agreement)} images, less than {least:g} %; nothing was written. "
            f"{_advice(artifact, to)}, or give --force"
        )
    facts = {
        "format": 1,
        "to": to,
        "source": {
            "file": artifact.path.name,
            "sha256": artifact.manifest.sha256,
            "artifact": artifact.manifest.id,
        },
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "input": _input(artifact),
        "outputs": [_output(spec) for spec in artifact.manifest.outputs],
        "operators": operators,
        "agreement": {
            "with": "onnxruntime",
            "percent": percent,
            "protocol": origin_of(samples).protocol,
            "images": agreement,
        },
        "versions": {**versions(), form.package: version(form.package)},
    }
    with new_files(file, file.with_name(f"{file.name}.json")) as (written, described):
        written.write_bytes(content)
        described.write_text(json.dumps(facts, indent=1) + "\n")
    return Converted(file, facts)


def _advice(artifact: Artifact, to: str) -> str:
    """Say what brings the masks nearer; where int8 itself is rough, small differences decide."""
    if artifact.manifest.target in (None, to):
        return "Calibrate with more images, or leave layers in float with --min-agreement"
    return f"Quantize with --target {to}"


def _judged(
    artifact: Artifact, runner: Runner, samples: Sequence[Sample], progress: Progress
) -> list[dict[str, Any]]:
    """Return, by image, the percent of pixels that get the same class."""
    session, batch = open_session(artifact.path), artifact.manifest.input.shape[0] or 1
    found = []
    for index in range(len(samples)):
        sample = samples[index]
        progress(index, len(samples))
        image = np.repeat(sample.image, batch, axis=0)
        wanted, actual = classes_of(run(session, image)[0]), classes_of(runner(image)[0])
        percent = 100 * float(np.mean(wanted == actual))
        found.append({"id": sample.id, "sha256": sample.sha256, "percent": percent})
    progress(len(samples), len(samples))
    return found


def _input(artifact: Artifact) -> dict[str, Any]:
    """Describe the input as the file has it."""
    spec = artifact.manifest.input
    n, channels, height, width = spec.shape
    return {
        "name": spec.name,
        "shape": [n, height, width, channels],
        "layout": "NHWC",
        "dtype": spec.dtype,
        "mean": spec.mean,
        "std": spec.std,
        "colour_order": spec.colour_order,
    }


def _output(spec: OutputSpec) -> dict[str, Any]:
    """Describe an output as the file has it."""
    shape = list(spec.shape)
    if len(shape) == 4:
        shape = [shape[0], *shape[2:], shape[1]]
    return {"name": spec.name, "kind": spec.kind, "shape": shape, "dtype": spec.dtype}
