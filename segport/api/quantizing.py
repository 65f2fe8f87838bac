"""fp16 and int8 artifacts."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from export.common.errors import UsageError
from export.common.progress import Stages
from export.workers.engines import Workers
from quantize.search.clock import MINUTES
from segport import defaults
from segport.api.arguments import AnyPath, Data, artifact_of, data_of, optional_path
from segport.api.artifacts import Artifact, public
from segport.auto import AUTO
from segport.progress import stages
from validate.samples.protocols import DEFAULT_PROTOCOL

if TYPE_CHECKING:
    from export.artifact.artifact import Artifact as AnyArtifact


def quantize(
    artifact: "AnyArtifact | AnyPath",
    precision: str = "int8",
    folder: AnyPath | None = None,
    *,
    images: Data | None = None,
    samples: int = defaults.SAMPLES,
    seed: int = defaults.SEED,
    protocol: str = DEFAULT_PROTOCOL,
    target: str | None = None,
    range_: str | None = None,
    with_: Sequence[str] = (),
    skip: Sequence[str] = (),
    io: str = defaults.IO_TYPE,
    guard: bool = True,
    keep_float: Sequence[str] = (),
    max_drop: float | None = None,
    min_agreement: float | None = None,
    data: Data | None = None,
    labels: str | None = None,
    mask_suffix: str | None = None,
    accept: Sequence[str] = (),
    search_minutes: float = MINUTES,
    min_self_agreement: float = defaults.MIN_SELF_AGREEMENT,
    force: bool = False,
    download: bool = False,
    workers: Workers | None = None,
    progress: bool = True,
) -> Artifact:
    """Make an fp16 or int8 artifact of an fp32 one.

    Args:
        artifact: What `export` or `import_` returned, or its .onnx file.
        precision: "int8" or "fp16".
        folder: Where to write. Default: beside the fp32 file.
        images: Calibration images: DATA (`ROOT[:SPLIT]`, split train by default), a folder, or
            uint8 arrays, PIL images or files. int8 needs them, fp16 checks ranges with them.
        samples: How many of them are used.
        seed: Seed for choosing them.
        protocol: How they are prepared: "squash", "center-crop", "full" or "torchvision".
        target: Hardware of the int8 file, or "auto": the fastest here, of files for this machine
            and for OpenVINO. Default: that of this machine.
        range_: "minmax[:N]", "moving-average", "percentile[:P]", "entropy" or "mse".
        with_: Methods of int8 to add, by name.
        skip: Methods of int8 to leave out.
        io: fp16: type of inputs and outputs, "fp32" or "fp16".
        guard: fp16: leave in fp32 what float16 cannot hold.
        keep_float: Globs of layers, or of weights they read, to leave in float.
        max_drop: int8: leave layers in float until mIoU drops by no more points than this.
        min_agreement: int8: the same until so many percent of pixels match fp32.
        data: Images that judge this search. Default: `images`.
        labels: What values of masks mean: a label map's name or file.
        mask_suffix: What masks' names have after those of images.
        accept: Traps in labels that are known and meant.
        search_minutes: Minutes for the search.
        min_self_agreement: Percent of pixels that must match fp32, or nothing is written; in
            objects twice as many may differ.
        force: Write the file anyway.
        download: Fetch VOC or SBD where it is not there.
        workers: `segport.Workers`: measure the images in blocks, with the same bytes however many
            workers there are.
        progress: Show progress on standard error.

    Raises:
        SegportError: UsageError for unknown names, CalibrationError and DataError for images,
            QuantizeError for a file that would not be what its target promises.
    """
    out = optional_path(folder, "folder")
    with ExitStack() as stack:
        shown = stack.enter_context(stages(shown=progress))
        step = shown.stage(f"quantize {precision}")
        from quantize.quantization import check_settings
        from quantize.quantization import quantize as quantize_artifact
        from quantize.self_check import SelfCheck
        from quantize.settings import Settings
        from segport.fastest import quantize_fastest, refuse_auto
        from segport.searching import held_back, open_search, requested
        from validate.data.datasets import open_dataset
        from validate.samples.samples import Preparation, Samples
        from validate.samples.trap_table import MASK_SIZE, check_accepted

        auto = target == AUTO
        if auto and workers:
            raise UsageError("--engine goes with one target, not with auto")
        settings = Settings(
            target=None if auto else target,
            range=range_,
            added=tuple(with_),
            skipped=tuple(skip),
            io=io,
            guard=guard,
            keep_float=tuple(keep_float),
        )
        if auto:
            refuse_auto(precision, search=max_drop is not None or min_agreement is not None)
        check_settings(precision, settings)
        loaded = artifact_of(artifact)
        calibration = None if images is None else stack.enter_context(data_of(images, "images"))
        judging = None if data is None else stack.enter_context(data_of(data, "data"))
        request = requested(max_drop, min_agreement, judging or calibration, search_minutes)
        if download:
            _fetch([calibration, judging], shown)
        check_accepted(accept)
        preparation = Preparation.for_artifact(
            loaded.manifest, protocol, labels, fit=MASK_SIZE in accept
        )
        drawn = calibration and open_dataset(calibration, "train", masks=False).sample(
            samples, seed
        )
        search = (
            None
            if request is None
            else open_search(
                request,
                loaded,
                drawn or None,
                preparation,
                seed,
                shown.note,
                mask_suffix=mask_suffix,
                accepted=accept,
            )
        )
        unseen = held_back(calibration, drawn, preparation, seed) if calibration and drawn else ()
        check = SelfCheck(unseen, min_self_agreement, force)
        images_used = Samples(drawn, preparation) if drawn else ()
        if auto:
            return public(
                quantize_fastest(
                    loaded,
                    out or loaded.path.parent,
                    samples=images_used,
                    settings=settings,
                    check=check,
                    progress=step,
                    note=shown.note,
                )
            )
        made = quantize_artifact(
            loaded,
            precision,
            out or loaded.path.parent,
            samples=images_used,
            settings=settings,
            search=search,
            progress=step,
            check=check,
            workers=workers,
        )
        if request:
            from validate.report.frontier_plot import write_frontier  # imports matplotlib

            write_frontier(made)
    return public(made)


def _fetch(sources: Sequence[str | None], shown: Stages) -> None:
    from validate.data.download import fetch

    for source in filter(None, sources):
        fetch(source, "train", shown.stage("download"))
