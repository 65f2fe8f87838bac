"""Pictures as arrays: network input from RGB, and seeded ones where no data set is at hand."""

from collections.abc import Iterator

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


def normalised(
    image: NDArray[np.uint8],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> NDArray[np.float32]:
    """Turn an RGB image, uint8 (H, W, 3), into network input, float32 (1, 3, H, W)."""
    deviation = np.asarray(std, np.float32)
    shift = np.asarray(mean, np.float32) / deviation
    scale = np.float32(1 / 255) / deviation
    planes = np.empty((1, 3, *image.shape[:2]), np.float32)
    for channel, plane in enumerate(planes[0]):  # plane by plane, nothing is transposed
        np.multiply(image[..., channel], scale[channel], out=plane, dtype=np.float32)
        plane -= shift[channel]
    return planes


def restored(
    image: NDArray[np.float32],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> NDArray[np.uint8]:
    """Turn network input, (1, 3, H, W), back into the RGB image it was made of, (H, W, 3)."""
    deviation, shift = np.asarray(std, np.float32), np.asarray(mean, np.float32)
    pixels: NDArray[np.float32] = 255 * (image[0].transpose(1, 2, 0) * deviation + shift)
    return np.asarray(np.rint(pixels.clip(0, 255)), np.uint8)
