"""Adaptive rounding (AdaRound, Nagel et al. 2020, arXiv:2004.10568), layer by layer.

Each weight is rounded down or up; which, is relaxed to a number between 0 and 1 and learnt so
that the layer's output keeps its values, while a regulariser pushes the numbers to 0 or 1. The
error of the output depends on the inputs through their covariance C alone, as e C eᵀ, so no
activation has to be kept.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]

STEPS = 1000
_LEARNING_RATE = 0.01
_STRETCH = (-0.1, 1.1)
_WARM_UP = 0.2
_SHARPNESS = (20.0, 2.0)
_WEIGHT = 0.01


def adaround(weight: Floats, scale: Floats, covariance: Floats, largest: int) -> Floats:
    """Return integers of `weight` (groups, rows, inputs) in -largest .. largest, as float64.

    `scale` (groups, rows) is the step of each row, `covariance` (groups, inputs, inputs) that
    of the inputs. Deterministic; runs on a GPU where torch sees one.
    """
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    wanted = torch.from_numpy(weight / scale[:, :, None]).to(device, torch.float32)
    cost = torch.from_numpy(covariance).to(device, torch.float32)
    # a row's loss is its error's share of what rounding to nearest costs it
    plain = wanted - wanted.round()
    unit = ((plain @ cost) * plain).sum(2, keepdim=True).clamp_min(1e-12)
    low = wanted.floor()
    logits = _inverse(wanted - low).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=_LEARNING_RATE)
    for step in range(STEPS):
        optimizer.zero_grad()
        up = _soft(logits)
        errors = wanted - (low + up).clamp(-largest, largest)
        loss = (((errors @ cost) * errors) / unit).sum()
        loss = loss + _WEIGHT * _regulariser(up, step / STEPS)
        loss.backward()
        optimizer.step()
    rounded = low + (_soft(logits.detach()) >= 0.5)
    return rounded.clamp(-largest, largest).double().cpu().numpy()


def _soft(logits: "Tensor") -> "Tensor":
    """Stretched and clipped sigmoid, as the paper has it: 0 and 1 are reached."""
    low, high = _STRETCH
    return (logits.sigmoid() * (high - low) + low).clamp(0, 1)


def _inverse(values: "Tensor") -> "Tensor":
    low, high = _STRETCH
    return ((values - low) / (high - low)).logit()


def _regulariser(up: "Tensor", progress: float) -> "Tensor | float":
    """Grows where `up` is between 0 and 1; flat at first, sharper and sharper."""
    if progress < _WARM_UP:
        return 0.0
    start, end = _SHARPNESS
    left = (1 - progress) / (1 - _WARM_UP)
    sharpness = end + (start - end) * left
    return (1 - (2 * up - 1).abs().pow(sharpness)).sum()
