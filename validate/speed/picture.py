"""The input that artifacts are timed on."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.artifact.image import as_mode, normalised, synthetic_images
from export.artifact.manifest import Manifest
from validate.data.items import Item
from validate.samples.protocols import DEFAULT_PROTOCOL
from validate.samples.samples import Preparation


def input_image(manifest: Manifest, picture: Path | None = None) -> NDArray[np.float32]:
    """Return an artifact's input, float32 (1, 3, H, W), at the size MACs are counted at.

    It is `picture` squashed to that size, or a seeded one: colour fields with ellipses, because
    noise has no uniform areas and mask heads may be faster on those. The same picture is normalised
    as each artifact wants it. Raises DataError when the picture cannot be read.
    """
    if picture is not None:
        preparation = Preparation.for_artifact(manifest, DEFAULT_PROTOCOL)
        return preparation.sample(Item(picture.stem, picture, None)).image
    (made,) = synthetic_images(1, manifest.size)
    spec = manifest.input
    return normalised(as_mode(made, spec.colour_order), spec.mean, spec.std)
