"""Make a thumbnail of an image, its label and its predictions."""

from collections.abc import Mapping

import numpy as np
from PIL import Image

from export.artifact.image import restored
from validate.samples.samples import Labelled, Preparation
from validate.samples.thumbnail import Classes, Thumbnail

SIDE = 200
"""Pixels of the longer side at most."""


def shrink(
    image: Labelled,
    predicted: Mapping[str, Classes],
    agreement: Mapping[str, float],
    preparation: Preparation,
) -> Thumbnail:
    """Shrink a prepared image to `SIDE`; class maps, of one size, lose rows and columns."""
    height, width = next(iter(predicted.values())).shape
    scale = min(1.0, SIDE / max(height, width))
    small = max(1, round(height * scale)), max(1, round(width * scale))
    picture = Image.fromarray(restored(image.sample.image, preparation.mean, preparation.std))
    shrunk = picture.resize((small[1], small[0]), Image.Resampling.BILINEAR)
    return Thumbnail(
        id=image.sample.id,
        agreement=dict(agreement),
        image=np.asarray(shrunk),
        label=None if image.label is None else _nearest(image.label, small),
        predicted={key: _nearest(classes, small) for key, classes in predicted.items()},
    )


def _nearest(classes: Classes, size: tuple[int, int]) -> Classes:
    """Return the pixels in the middle of `size` equal cells."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp)
        for old, new in zip(classes.shape, size, strict=True)
    )
    return classes[np.ix_(rows, columns)]
