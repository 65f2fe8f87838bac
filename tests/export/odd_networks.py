"""Users' networks that are odd or broken, used as `tests.export.odd_networks:<name>`."""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class _Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.conv = nn.Conv2d(3, 21, 1)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.conv(x)
        return logits


class Branching(_Plain):
    """Python control flow that depends on the data; torch.export cannot follow it."""

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) if x.sum() > 0 else -self.conv(x)


class Silent(_Plain):
    """Fails with an error that has no message."""

    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError


class InTuple(_Plain):
    def forward(self, x: Tensor) -> tuple[Tensor]:  # type: ignore[override]
        return (self.conv(x),)


class TwoAlike(_Plain):
    """Gives two maps that nothing tells apart."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        return {"coarse": -self.conv(x), "fine": self.conv(x)}


class Given(NamedTuple):
    """What a network gives, as a named tuple."""

    loss: Tensor | None
    logits: Tensor


class InNamedTuple(_Plain):
    def forward(self, x: Tensor) -> Given:  # type: ignore[override]
        return Given(None, self.conv(x))


class OneChannel(_Plain):
    """A mask of one class: the first of `_Plain`'s 21 maps, as a logit."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, :1]


class OneProbability(OneChannel):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).sigmoid()


class NotFinite(_Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * torch.inf * 0


class WithoutParameters(nn.Module):
    """A colour rule: nothing to train."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x] * 7, 1)


def raises() -> nn.Module:
    raise RuntimeError("no weights today")


def no_module() -> str:
    return "hello"
