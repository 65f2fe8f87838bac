"""Weights for networks that nobody trained, with which they behave as if somebody had.

He's initialisation; normalisations with affine parameters as training leaves them, all different;
BatchNorm's running statistics from photos; and a head that is mixed, by least squares, to tell the
classes of the photos' labels. All seeded.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.networks.layers import CLASSES
from export.artifact.image import normalised
from export.networks.network import Logits
from export.networks.zoo import IMAGENET_MEAN, IMAGENET_STD, build_network

_SEED = 0
_BATCH = 8
_PHOTOS = 2 * _BATCH
_LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
_BATCH_NORM = nn.modules.batchnorm._BatchNorm
_NORMS = (_BATCH_NORM, nn.GroupNorm, nn.LayerNorm, nn.modules.instancenorm._InstanceNorm)
_STEP = 4
"""Every so many pixels each way serve the least squares."""


def settled(model: str, size: tuple[int, int], voc: Path, weights: Path) -> None:
    """Write the weights of `model` (as `segport export` takes it) to a file.

    `voc` is a VOCdevkit; the first photos of its train split serve.
    """
    images, labels = photos(voc, size)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(_SEED)
        network = build_network(model, CLASSES, None)
        for module in network.modules():
            _draw(module)
        _settle_statistics(network, images)
        _settle_head(network, images, labels)
    torch.save(network.state_dict(), weights)


def photos(voc: Path, size: tuple[int, int]) -> tuple[list[Tensor], list[Tensor]]:
    """Return batches of photos (8, 3, H, W) float32 and of their labels (8, H, W) uint8."""
    root = voc / "VOC2012"
    names = (root / "ImageSets/Segmentation/train.txt").read_text().split()[:_PHOTOS]
    height, width = size
    images, labels = [], []
    for name in names:
        photo = Image.open(root / f"JPEGImages/{name}.jpg").resize((width, height))
        label = Image.open(root / f"SegmentationClass/{name}.png")
        images.append(torch.from_numpy(normalised(np.asarray(photo), IMAGENET_MEAN, IMAGENET_STD)))
        nearest = label.resize((width, height), Image.Resampling.NEAREST)
        labels.append(torch.from_numpy(np.asarray(nearest).copy())[None])
    starts = range(0, len(names), _BATCH)
    return (
        [torch.cat(images[at : at + _BATCH]) for at in starts],
        [torch.cat(labels[at : at + _BATCH]) for at in starts],
    )


def _draw(module: nn.Module) -> None:
    if isinstance(module, _LAYERS):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, _NORMS) and module.weight is not None:
        nn.init.uniform_(module.weight, 0.5, 1.5)
        nn.init.uniform_(module.bias, -0.5, 1.0)


def _settle_statistics(network: nn.Module, images: Sequence[Tensor]) -> None:
    """Let BatchNorm take the mean of all batches' statistics."""
    network.eval()
    for module in network.modules():
        if isinstance(module, _BATCH_NORM):
            module.reset_running_stats()
            module.momentum = None
            module.train()
    for batch in images:
        network(batch)
    network.eval()


def _settle_head(network: nn.Module, images: Sequence[Tensor], labels: Sequence[Tensor]) -> None:
    """Mix the classes of the last layers so that they tell the labels apart.

    All that comes after them (resizing, adding) is linear and adds up to 1, so that mixing
    their channels mixes the logits.
    """
    whole = Logits(network, classes=CLASSES).eval()
    logits = torch.cat([_pixels(whole(batch)) for batch in images])
    wanted = torch.cat([_pixels(label[:, None]) for label in labels])[:, 0].long()
    seen = wanted < CLASSES  # not the border
    mixing, shift = _least_squares(logits[seen].double(), wanted[seen])
    *heads, last = [m for m in network.modules() if _gives_classes(m)]
    for head in [*heads, last]:
        axis = 1 if isinstance(head, nn.ConvTranspose2d) else 0
        weight = torch.tensordot(mixing, head.weight, ([1], [axis]))
        head.weight.copy_(weight.movedim(0, axis))
        head.bias.copy_(mixing @ head.bias)
    last.bias.add_(shift)


def _pixels(maps: Tensor) -> Tensor:
    """(N, C, H, W) to (pixels, C), a part of them."""
    return maps[:, :, ::_STEP, ::_STEP].movedim(1, -1).flatten(0, 2)


def _gives_classes(module: nn.Module) -> bool:
    return isinstance(module, _LAYERS) and CLASSES in (
        getattr(module, "out_channels", None),
        getattr(module, "out_features", None),
    )


def _least_squares(logits: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return (C, C) and (C,) that fit logits (pixels, C) to the labels.

    Rare classes count more, a pixel 1 / n ** 0.7 where n have its class, or there would be
    background alone.
    """
    counts = torch.bincount(wanted, minlength=CLASSES).clamp(min=1)
    root = counts[wanted].double() ** -0.35
    ones = torch.ones(len(logits), 1, dtype=torch.float64)
    known = torch.cat([logits, ones], 1) * root[:, None]
    target = nn.functional.one_hot(wanted, CLASSES) * root[:, None]
    square = known.T @ known
    ridge = 1e-3 * square.diagonal().mean() * torch.eye(len(square), dtype=torch.float64)
    found = torch.linalg.solve(square + ridge, known.T @ target).float()
    return 10 * found[:-1].T, 10 * found[-1]
