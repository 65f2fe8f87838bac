"""Train the embedded default: deeplabv3_mobilenet from random weights on generated scenes.

    python benchmarks/train_demo.py [-o segport/demo/deeplabv3_mobilenet.safetensors]

Everything is seeded. Uses the GPU if there is one, else all cores (bfloat16 convolutions,
float32 master weights). The scenes of `segport run demo` are not among the training scenes: its
validation split is another series.
"""

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from export.classes import VOC_CLASSES, VOID
from export.image import normalised
from export.zoo import IMAGENET_MEAN, IMAGENET_STD, build_network
from segport.demo import MODEL, WEIGHTS
from segport.demo.dataset import SERIES
from segport.demo.scenes import scene

SEED = 0
SCENES = 2400
SIZE = 513
BATCH = 16
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.02
BACKGROUND_WEIGHT = 0.3
"""Most pixels are background; with their full weight the network begins with it alone."""
_MIN_OBJECTS = 0.15
_ATTEMPTS = 5

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Phase:
    """Steps on crops of `side` pixels, taken from scenes at 513 zoomed by a factor of `zoom`."""

    steps: int
    side: int
    zoom: tuple[float, float]

    @property
    def label_side(self) -> int:
        """Side of the logits and labels that the loss compares: a quarter of the crop's."""
        return (self.side + 3) // 4


# What things look like is learned cheapest from small pictures; their size in the end is 1.
PHASES = (
    Phase(3600, 129, (0.25, 0.5)),
    Phase(800, 193, (0.4, 0.8)),
    Phase(700, 257, (0.8, 1.05)),
)


def _squashed(number: int) -> tuple[Picture, Picture]:
    """Return training scene `number` as the squash protocol at 513 shows it."""
    made = scene(number, SERIES["train"])
    image = Image.fromarray(made.image).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    label = Image.fromarray(made.label).resize((SIZE, SIZE), Image.Resampling.NEAREST)
    return np.asarray(image), np.asarray(label)


def _crop(
    image: Picture, label: Picture, phase: Phase, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Cut a window that shows some object and zoom it to the phase's size; mirror, tint."""
    for _ in range(_ATTEMPTS):
        side = min(int(phase.side / rng.uniform(*phase.zoom)), SIZE)
        top, left = (int(place) for place in rng.integers(0, SIZE - side + 1, 2))
        seen = label[top : top + side : 8, left : left + side : 8]
        if np.mean((seen > 0) & (seen != VOID)) >= _MIN_OBJECTS:
            break
    window = (left, top, left + side, top + side)
    size = (phase.side, phase.side)
    pixels = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, window)
    size = (phase.label_side, phase.label_side)
    target = Image.fromarray(label).resize(size, Image.Resampling.NEAREST, window)
    tinted = np.clip(np.asarray(pixels) * rng.uniform(0.8, 1.2, 3), 0, 255).astype(np.uint8)
    x, y = normalised(tinted, IMAGENET_MEAN, IMAGENET_STD)[0], np.array(target, np.int64)
    if rng.random() < 0.5:
        x, y = x[:, :, ::-1], y[:, ::-1]
    return torch.from_numpy(x.copy()), torch.from_numpy(y.copy())


def _score(logits: Tensor, label: Tensor) -> NDArray[np.int64]:
    known = label != VOID
    pairs = label[known] * len(VOC_CLASSES) + logits.argmax(dim=1)[known]
    counts = torch.bincount(pairs, minlength=len(VOC_CLASSES) ** 2)
    return counts.reshape(len(VOC_CLASSES), -1).cpu().numpy()


def _miou(confusion: NDArray[np.int64]) -> float:
    union = confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
    return float(100 * np.mean(np.diag(confusion) / np.maximum(union, 1)))


def train(scenes: Sequence[tuple[Picture, Picture]], device: torch.device) -> nn.Module:
    """Return the trained network on the CPU, in eval mode."""
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    network = build_network(MODEL, len(VOC_CLASSES), 16).train().to(device)
    network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
    )
    steps = [phase for phase in PHASES for _ in range(phase.steps)]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=len(steps), pct_start=0.1
    )
    weight = torch.ones(len(VOC_CLASSES), device=device)
    weight[0] = BACKGROUND_WEIGHT
    confusion = np.zeros((len(VOC_CLASSES), len(VOC_CLASSES)), np.int64)
    start = time.monotonic()
    for step, phase in enumerate(steps, start=1):
        chosen = rng.integers(0, len(scenes), BATCH)
        crops = [_crop(*scenes[i], phase, rng) for i in chosen]
        image = torch.stack([x for x, _ in crops]).to(device)
        label = torch.stack([y for _, y in crops]).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            low, high = network.backbone(image.contiguous(memory_format=torch.channels_last))
            coarse = network.classifier(low, high)
        logits = F.interpolate(
            coarse.float(), size=label.shape[1:], mode="bilinear", align_corners=False
        )
        loss = F.cross_entropy(logits, label, weight, ignore_index=VOID)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        confusion += _score(logits.detach(), label)
        if step % 50 == 0 or step == len(steps):
            spent = time.monotonic() - start
            print(
                f"step {step}/{len(steps)}  loss {loss.item():.3f}  mIoU of the last training "
                f"crops {_miou(confusion):.1f}  {spent:.0f} s",
                flush=True,
            )
            confusion[:] = 0
    return network.cpu().eval()


def main() -> None:
    """Generate, train, save as float16."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    start = time.monotonic()
    with ProcessPoolExecutor() as pool:
        scenes = list(pool.map(_squashed, range(SCENES), chunksize=20))
    print(f"{len(scenes)} scenes in {time.monotonic() - start:.0f} s", flush=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = train(scenes, device)
    state = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in network.state_dict().items()
    }
    save_file(state, options.out)
    size = options.out.stat().st_size / 1e6
    print(f"{options.out}: {size:.2f} MB, {time.monotonic() - start:.0f} s in all")


if __name__ == "__main__":
    main()
