"""A bad photographer: exposure, colour cast, vignette, blur and sensor noise."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from segport.demo.drawing import Picture


def photograph(picture: Picture, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return `picture` as a camera would have it, uint8 (height, width, 3)."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    radius = np.hypot(x / width - 0.5, y / height - 0.5)
    light = picture / 255 * rng.uniform(0.92, 1.08, 3)
    light = light * (1 - rng.uniform(0, 0.7) * radius[..., None] ** 2)
    light = np.clip(light * rng.uniform(0.6, 1.5), 0, 1) ** rng.uniform(0.75, 1.35)
    exposed = Image.fromarray((light * 255).astype(np.uint8))
    blurred = exposed.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 1.8))))
    grain = rng.normal(0, rng.uniform(0, 12), (height, width, 3))
    return np.clip(np.asarray(blurred) + grain, 0, 255).astype(np.uint8)
