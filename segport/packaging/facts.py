"""What model card and bill of materials both say: where weights come from, what was measured."""

from collections.abc import Iterator
from dataclasses import dataclass

from segport.packaging.material import Material
from segport.packaging.variants import Variant

LIMITS = (
    "Figures are of the images they were measured on; other images may give others.",
    "Masks have the classes listed and no others: what is none of them gets one all the same.",
    "Files for accelerators were judged in onnxruntime, not on the hardware.",
)


@dataclass(frozen=True)
class Metric:
    """A figure in percent, by its name on the Hub, with its 95 % interval where there is one."""

    kind: str
    name: str
    value: float
    interval: tuple[float, float] | None


def metrics(material: Material, variant: Variant) -> Iterator[Metric]:
    """Yield what was measured of a variant; nothing where it was not judged."""
    found = material.findings.of(variant) if material.findings else None
    if found is None:
        return
    if found.miou is not None:
        yield Metric("mean_iou", "mIoU", found.miou, found.miou_ci95)
    if found.pixel_accuracy is not None:
        yield Metric("accuracy", "pixel accuracy", found.pixel_accuracy, None)
    if found.drop is not None and found.drop_ci95 is not None:
        yield Metric("miou_drop", "drop of mIoU", found.drop, found.drop_ci95)
    yield Metric("agreement", "agreement with the reference", found.agreement, None)


def data_name(material: Material) -> str:
    """Return what figures were measured on, such as `VOC2012 val, 40 images, squash`."""
    assert material.findings is not None
    result = material.findings.result
    data = result.dataset
    return f"{data.name} {data.split}, {data.images} images, {result.protocol}"


def calibration(variant: Variant) -> str:
    """Say in one sentence which images influenced a file."""
    manifest = variant.manifest
    if not manifest.images:
        return "No image influenced it."
    how = f", prepared as {manifest.calibration_protocol}" if manifest.calibration_protocol else ""
    return (
        f"{len(manifest.images)} images calibrated it{how}; the manifest has id and sha256 of each."
    )


def weights(material: Material) -> str:
    """Say in one sentence where the weights are from, as far as it is known."""
    found = material.variants[0].manifest.weights
    where = {
        "file": f"the checkpoint {found.file}",
        "default": "those that come with the network's library",
        "random": f"random ones (seed {found.seed})",
        "import": f"the ONNX file {found.file}",
        "module": "a module in memory",
    }[found.how]
    digest = f", sha256 {found.sha256}" if found.sha256 else ""
    given = f" Source as given: {material.source}." if material.source else ""
    return f"Weights are from {where}{digest}.{given}"
