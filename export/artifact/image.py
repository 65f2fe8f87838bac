"""Pictures as arrays: network input from RGB, and seeded ones where no data set is at hand."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw


def synthetic_images(
    count: int, size: tuple[int, int], seed: int = 0
) -> Iterator[NDArray[np.uint8]]:
    """Yield `count` RGB images, uint8 (height, width, 3): soft colour fields with ellipses."""
    height, width = size
    rng = np.random.default_rng(seed)
    for _ in range(count):
        field = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        image = Image.fromarray(field).resize((width, height), Image.Resampling.BICUBIC)
        draw = ImageDraw.Draw(image)
        for _ in range(12):
            x, y = rng.uniform(0, width), rng.uniform(0, height)
            rx, ry = rng.uniform(0.03, 0.3, 2) * (width, height)
            colour = tuple(int(c) for c in rng.integers(0, 256, 3))
            draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=colour)
        noise = rng.normal(0, 8, (height, width, 3))
        yield np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)


def as_mode(image: NDArray[np.uint8], mode: str) -> NDArray[np.uint8]:
    """Turn an RGB image, uint8 (H, W, 3), into PIL's "L", "RGB" or "RGBA", (H, W, channels)."""
    converted = np.asarray(Image.fromarray(image).convert(mode))
    return converted.reshape(*image.shape[:2], -1)


def normalised(
    image: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]
) -> NDArray[np.float32]:
    """Turn an image, uint8 (H, W, C) or (H, W), into network input, float32 (1, C, H, W).

    `mean` and `std` have an entry per channel, in 0-1 units.
    """
    image = image.reshape(*image.shape[:2], -1)
    deviation = np.asarray(std, np.float32)
    shift = np.asarray(mean, np.float32) / deviation
    scale = np.float32(1 / 255) / deviation
    planes = np.empty((1, len(deviation), *image.shape[:2]), np.float32)
    for channel, plane in enumerate(planes[0]):  # plane by plane, nothing is transposed
        np.multiply(image[..., channel], scale[channel], out=plane, dtype=np.float32)
        plane -= shift[channel]
    return planes


def restored(
    image: NDArray[np.float32], mean: Sequence[float], std: Sequence[float]
) -> NDArray[np.uint8]:
    """Turn network input, (1, C, H, W), back into the RGB image it was made of, (H, W, 3).

    Grey becomes three equal channels; alpha is left out.
    """
    deviation, shift = np.asarray(std, np.float32), np.asarray(mean, np.float32)
    pixels: NDArray[np.float32] = 255 * (image[0].transpose(1, 2, 0) * deviation + shift)
    picture = np.asarray(np.rint(pixels.clip(0, 255)), np.uint8)
    return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture[..., :3]
