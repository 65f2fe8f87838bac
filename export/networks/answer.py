"""What a torch network returns: a tensor, or a dict, tuple, dataclass or ModelOutput of several."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from export.artifact.outputs import BINARY_KINDS
from export.common.errors import UsageError, unknown
from export.common.tables import either

USUAL = ("out", "logits")
"""Names of the result that is meant: torchvision's and transformers'."""


class Answer(BaseModel):
    """Which result is meant, and how one channel is to be read; null: there is no question."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str | None = None
    kind: str | None = None
    threshold: float = 0.5


def tensors_in(result: Any) -> dict[str, Tensor]:
    """Return the maps (N, C, H, W) among what a network gives, by name or number."""
    return {name: value for name, value in _parts(result) if value.dim() == 4}


def _parts(result: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(result, Tensor):
        yield name or "0", result
        return
    inner: Mapping[Any, Any] = {}
    if isinstance(result, Mapping):
        inner = result
    elif is_dataclass(result) and not isinstance(result, type):
        inner = {field.name: getattr(result, field.name) for field in fields(result)}
    elif hasattr(result, "_asdict"):  # a named tuple
        inner = result._asdict()
    elif isinstance(result, list | tuple):
        inner = dict(enumerate(result))
    for key, value in inner.items():
        yield from _parts(value, f"{name}.{key}" if name else str(key))


def chosen(result: Any, name: str | None) -> Tensor:
    """Return the result called `name`; without, the only one, or the one that is usually meant.

    Raises UsageError where that is unclear.
    """
    if isinstance(result, Tensor) and name is None:
        return result
    maps = tensors_in(result)
    if name is not None:
        if name not in maps:
            raise UsageError(unknown("output", name, maps))
        return maps[name]
    for usual in USUAL:
        if usual in maps:
            return maps[usual]
    if len(maps) != 1:
        listed = ", ".join(f"{key} {tuple(value.shape)}" for key, value in maps.items()) or "none"
        raise UsageError(
            f"the network gives {type(result).__name__} with maps {listed}; say which is meant "
            "with --output-name"
        )
    return next(iter(maps.values()))


def two_classes(logits: Tensor, answer: Answer) -> Tensor:
    """Turn one channel, (N, 1, H, W), into logits of background and the class.

    The class wins from `threshold` on, a probability. Raises UsageError where nothing says
    whether the channel is a probability or its logit.
    """
    if answer.kind == "binary-logit":
        half = (logits - torch.logit(torch.tensor(answer.threshold)).item()) / 2
        return torch.cat([-half, half], 1)
    if answer.kind == "binary-probability":
        return torch.cat([2 * answer.threshold - logits, logits], 1)
    raise UsageError(
        "the network gives one channel; say whether it is a probability (a sigmoid's) or a logit: "
        f"--kind {either(BINARY_KINDS)}"
    )
