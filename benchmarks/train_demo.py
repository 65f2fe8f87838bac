"""Train the embedded default: deeplabv3_mobilenet from random weights on generated scenes.

    python benchmarks/train_demo.py [-o segport/demo/deeplabv3_mobilenet.safetensors]

Everything is seeded. Uses the GPU if there is one, else all cores (bfloat16 convolutions,
float32 master weights). The scenes that `segport run demo` judges are another series.
"""

import argparse
import time
from collections.abc import Callable, Sequence
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

from export.artifact.classes import VOC_CLASSES, VOID
from export.artifact.image import normalised
from export.networks.zoo import IMAGENET_MEAN, IMAGENET_STD, build_network
from segport.demo import MODEL, WEIGHTS
from segport.demo.scenes import scene

SERIES = 1
SCENES = 2400
SMALLEST = 0.2
"""Smaller objects than the demo shows: training is the harder exercise."""
SIZE = 513
BATCH = 16
WEIGHT_DECAY = 0.02
BACKGROUND_WEIGHT = 0.3
"""Most pixels are background; with their full weight the network begins with it alone."""
PRUNED_SHARE = 0.05
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


@dataclass(frozen=True)
class Round:
    """Phases under one learning rate cycle of `cycle` steps, the end of which may be cut off.

    A round begins with a new optimizer and from float16 weights, as a file would hold them, and
    prunes the blocks it names, counted from the stem.
    """

    phases: tuple[Phase, ...]
    learning_rate: float
    cycle: int
    pruned: tuple[int, ...] = ()


# What things look like is learned cheapest from small pictures; their real size comes after.
ROUNDS = (
    Round((Phase(3600, 129, (0.25, 0.5)), Phase(300, 193, (0.4, 0.8))), 2e-3, cycle=5100),
    Round((Phase(1300, 257, (0.7, 1.05)),), 1.5e-3, cycle=1500, pruned=(9, 13)),
    Round((Phase(420, 257, (0.8, 1.1)),), 8e-4, cycle=420, pruned=(7, 9, 13, 14)),
)


def _squashed(number: int) -> tuple[Picture, Picture]:
    """Return training scene `number` as the squash protocol at 513 shows it."""
    made = scene(number, SERIES, smallest=SMALLEST)
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


def _prune(network: nn.Module, pruned: Sequence[int]) -> Callable[[], None]:
    """Choose the weakest expanded channels of some blocks; return what keeps them at zero.

    Network slimming's criterion (Liu et al. 2017): the smallest BatchNorm scales. What a pruned
    or died-off channel leaves behind is a depthwise BatchNorm without variance, hence folded
    weights hundreds of times larger than the others: the unequal channel ranges that make
    MobileNets trained for long fail with one scale per tensor (Nagel et al. 2019, figure 2). An
    hour of training alone does not get there, and the demo would have nothing to show.
    """
    blocks = [*network.backbone.low_level_features, *network.backbone.high_level_features]
    norms = [blocks[index].conv[0][1] for index in pruned]
    weakest = [
        norm.weight.abs().argsort()[: int(PRUNED_SHARE * len(norm.weight))] for norm in norms
    ]

    @torch.no_grad()
    def keep_at_zero() -> None:
        for norm, channels in zip(norms, weakest, strict=True):
            norm.weight[channels] = 0
            norm.bias[channels] = 0

    return keep_at_zero


def train(
    network: nn.Module,
    scenes: Sequence[tuple[Picture, Picture]],
    plan: Round,
    seed: int,
    device: torch.device,
) -> None:
    """Train `network` in place for one round."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network.train()
    keep_at_zero = _prune(network, plan.pruned)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=plan.learning_rate, weight_decay=WEIGHT_DECAY, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, plan.learning_rate, total_steps=plan.cycle, pct_start=0.1
    )
    weight = torch.ones(len(VOC_CLASSES), device=device)
    weight[0] = BACKGROUND_WEIGHT
    confusion = np.zeros((len(VOC_CLASSES), len(VOC_CLASSES)), np.int64)
    steps = [phase for phase in plan.phases for _ in range(phase.steps)]
    start = time.monotonic()
    for step, phase in enumerate(steps, start=1):
        keep_at_zero()
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
    keep_at_zero()


def float16_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the state_dict on the CPU, floating point tensors in float16."""
    state = network.state_dict()
    return {
        name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for name, value in state.items()
    }


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
    torch.manual_seed(0)
    network = build_network(MODEL, len(VOC_CLASSES), 16).to(device)
    network = network.to(memory_format=torch.channels_last)
    for number, plan in enumerate(ROUNDS):
        train(network, scenes, plan, number, device)
        state = float16_state(network)
        network.load_state_dict(state)
    save_file(state, options.out)
    size = options.out.stat().st_size / 1e6
    print(f"{options.out}: {size:.2f} MB, {time.monotonic() - start:.0f} s in all")


if __name__ == "__main__":
    main()
