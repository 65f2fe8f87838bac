"""Files for runtimes that read no ONNX."""

from contextlib import ExitStack
from typing import TYPE_CHECKING

from segport.api.arguments import AnyPath, Data, artifact_of, data_of, path_of
from segport.defaults import CONVERSION_AGREEMENT, CONVERSION_IMAGES
from segport.progress import stages
from validate.samples.protocols import DEFAULT_PROTOCOL

if TYPE_CHECKING:
    from export.artifact.artifact import Artifact
    from segport.conversion.conversion import Converted


def convert(
    artifact: "Artifact | AnyPath",
    to: str,
    file: AnyPath,
    *,
    images: Data,
    samples: int = CONVERSION_IMAGES,
    min_agreement: float = CONVERSION_AGREEMENT,
    force: bool = False,
    progress: bool = True,
) -> "Converted":
    """Convert an fp32 or int8 artifact to another runtime's format, and judge what it became.

    Args:
        artifact: What `export`, `import_` or `quantize` returned, or its .onnx file.
        to: "litert", whose int8 keeps all scales, zero points and integers of the file.
        file: Where to write; FILE.json beside it says what it is and how it agreed.
        images: Images that judge it: DATA (`ROOT[:SPLIT]`, split val by default), a folder, or
            uint8 arrays, PIL images or files.
        samples: How many of them.
        min_agreement: Percent of pixels that must get the class onnxruntime gives, or nothing is
            written.
        force: Write the file anyway.
        progress: Show progress on standard error.

    Returns:
        `file`, `agreement`, and `facts`, which FILE.json holds.

    Raises:
        SegportError: UsageError for an unknown format, ExportError for operators that have no
            equal or masks that differ, RuntimeUnavailableError without the extra `litert`.
    """
    target = path_of(file, "file")
    with ExitStack() as stack:
        shown = stack.enter_context(stages(shown=progress))
        step = shown.stage(f"convert to {to}")
        from segport.conversion.conversion import check
        from segport.conversion.conversion import convert as make
        from validate.data.datasets import open_dataset
        from validate.samples.samples import Preparation, Samples

        loaded = artifact_of(artifact)
        check(loaded, to, target, min_agreement)
        source = stack.enter_context(data_of(images, "images"))
        drawn = open_dataset(source, "val", masks=False).sample(samples, 0)
        preparation = Preparation.for_artifact(loaded.manifest, DEFAULT_PROTOCOL)
        return make(
            loaded,
            to,
            target,
            Samples(drawn, preparation),
            least=min_agreement,
            force=force,
            progress=step,
        )
