"""Artifacts: made of a torch network or of a third-party file, or read again."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from export.artifact.artifact import Artifact as _Artifact
from export.artifact.size import NOMINAL_SIZE
from export.common.errors import UsageError
from segport import defaults
from segport.api.arguments import AnyPath, artifact_of, path_of
from segport.api.tables import data_frame, html_table
from segport.progress import stages

if TYPE_CHECKING:
    import pandas
    from torch import nn

    from segport.api.validating import Validation

Size = tuple[int, int] | Literal["dynamic"]


class Artifact(_Artifact):
    """An ONNX file and its manifest: `path` and `manifest`."""

    def facts(self) -> dict[str, Any]:
        """Return what a reader wants to know first, by name."""
        manifest = self.manifest
        return {
            "id": manifest.id,
            "file": str(self.path),
            "model": manifest.model,
            "size_bytes": self.path.stat().st_size,
            "input": "x".join(str(side or "any") for side in manifest.input.shape),
            "outputs": ", ".join(output.name for output in manifest.outputs),
            "classes": len(manifest.classes),
            "macs": manifest.macs,
            "calibration_images": len(manifest.images),
            "calibration_protocol": manifest.calibration_protocol,
        }

    def to_pandas(self) -> "pandas.DataFrame":
        """Return `facts` as a table of one row. Raises UsageError where pandas is not there."""
        return data_frame([self.facts()])

    def __repr__(self) -> str:
        facts = self.facts()
        return (
            f"Artifact({facts['id']}, {facts['file']}, {facts['size_bytes'] / 1e6:.2f} MB, "
            f"input {facts['input']}, {facts['classes']} classes)"
        )

    def _repr_html_(self) -> str:
        rows = [[name, "" if value is None else value] for name, value in self.facts().items()]
        return f"<b>{escape(self.manifest.stem)}</b>{html_table(rows, ['fact', 'value'])}"


def public(artifact: _Artifact) -> Artifact:
    """Return an artifact that shows itself."""
    return Artifact(artifact.path, artifact.manifest)


def export(
    network: "str | nn.Module",
    weights: AnyPath | None = None,
    folder: AnyPath = "out",
    *,
    size: Size = NOMINAL_SIZE,
    classes: str | Sequence[str] | None = None,
    output: str = defaults.OUTPUT,
    batch: int | None = 1,
    output_stride: int | None = None,
    name: str | None = None,
    seed: int = defaults.SEED,
    weights_key: str | None = None,
    output_name: str | None = None,
    kind: str | None = None,
    threshold: float = defaults.THRESHOLD,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    progress: bool = True,
) -> Artifact:
    """Export a torch network as a verified fp32 artifact.

    Args:
        network: A module, which is copied and keeps its own weights, or a name: of the zoo
            (`segport models`), `smp:NAME`, `hf:FOLDER` or `package.module:callable`.
        weights: For a name: a checkpoint file, "default" (as None) or "random".
        folder: Where `<name>-fp32.onnx` and its manifest are written.
        size: (height, width) in pixels, each at least 33, or "dynamic".
        classes: "voc", "cityscapes", "camvid", "ade20k", a file of names, or the names.
            Default: those that come with the network, else VOC's.
        output: "logits", "mask" or "both".
        batch: Images at a time; None leaves it free.
        output_stride: 16 or 8, for networks of the zoo.
        name: First part of the file's name. Default: the network's.
        seed: Seed of random weights.
        weights_key: Which weights, where a checkpoint holds several.
        output_name: Which result, where the network gives several.
        kind: Of a network with one channel, "binary-logit" or "binary-probability".
        threshold: Of such a network: the probability its class begins at.
        mean: Mean of R G B in 0-1 units. Default: ImageNet's.
        std: Standard deviation of R G B in 0-1 units. Default: ImageNet's.
        progress: Show progress on standard error.

    Raises:
        SegportError: UsageError for arguments, CheckpointError for weights that do not fit,
            ExportError where the file computes something else than torch. Nothing is written.
    """
    target = path_of(folder, "folder")
    with stages(shown=progress) as shown:
        shown.stage(f"export {network if isinstance(network, str) else type(network).__name__}")
        from torch import nn

        from export.onnx_export import export_model

        if not isinstance(network, str | nn.Module):
            raise UsageError(
                f"network: give a torch module or a name, not {type(network).__name__}"
                + (" (an instance, not its class)" if isinstance(network, type) else "")
            )
        if isinstance(network, nn.Module) and weights is not None:
            raise UsageError("weights: a module brings its own; load them into it")
        made = export_model(
            network,
            "default" if weights is None else str(weights),
            target,
            seed=seed,
            size=None if size == "dynamic" else size,
            batch=batch,
            output_stride=output_stride,
            output=output,
            classes=_classes(classes),
            name=name,
            weights_key=weights_key,
            output_name=output_name,
            kind=kind,
            threshold=threshold,
            mean=mean,
            std=std,
        )
    return public(made)


def import_(
    file: AnyPath,
    folder: AnyPath = "out",
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size: Size | None = None,
    classes: str | Sequence[str] = "voc",
    name: str | None = None,
    layout: str | None = None,
    channels: str | None = None,
    range_: str | None = None,
    output_name: str | None = None,
    kind: str | None = None,
    threshold: float = defaults.THRESHOLD,
    progress: bool = True,
) -> Artifact:
    """Make a verified fp32 artifact of a third-party float ONNX file.

    Args:
        file: The .onnx file; `segport inspect FILE` says what it shows.
        folder: Where the artifact is written.
        mean: Mean of R G B, or of all channels, in units of `range_`.
        std: Standard deviation, likewise.
        size: (height, width) or "dynamic", where the file leaves them free.
        classes: As of `export`.
        name: First part of the file's name. Default: the file's.
        layout: "nchw" or "nhwc". Default: what the input's shape says.
        channels: "rgb", "bgr", "grey", "rgba" or "bgra".
        range_: "0-1" or "0-255".
        output_name: The output to keep, if several qualify.
        kind: One of `export.foreign.output_view.KINDS`, such as "binary-logit" or "mask".
        threshold: Binary networks: probability from which a pixel is the class.
        progress: Show progress on standard error.

    Raises:
        SegportError: UsageError for what is missing, ArtifactError for a file that is no such
            network, ExportError where the artifact would compute something else.
    """
    source, target = path_of(file, "file"), path_of(folder, "folder")
    with stages(shown=progress) as shown:
        shown.stage(f"import {source.name}")
        from export.onnx_import import import_model

        made = import_model(
            source,
            target,
            mean=mean,
            std=std,
            size=size,
            classes=_classes(classes) or "voc",
            name=name,
            layout=layout,
            channels=channels,
            range_=range_,
            output_name=output_name,
            kind=kind,
            threshold=threshold,
        )
    return public(made)


def load(path: AnyPath) -> "Artifact | Validation":
    """Read what an earlier call wrote: an artifact's .onnx, or a result.json or its folder.

    Raises ArtifactError or DataError for files that are missing, damaged or somebody else's.
    """
    file = path_of(path, "path")
    if file.suffix == ".onnx":
        return public(artifact_of(file))
    from segport.api.validating import validation_of

    return validation_of(file)


def _classes(names: str | Sequence[str] | None) -> str | None:
    return names if names is None or isinstance(names, str) else ",".join(names)
