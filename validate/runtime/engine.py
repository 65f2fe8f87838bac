"""What every engine is, and what goes in and comes out of one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from export.artifact.class_map import class_map
from export.artifact.manifest import Manifest

Outputs = dict[str, NDArray[Any]]


class Engine(Protocol):
    """`outputs(image)` maps float32 (1, 3, H, W) to arrays by kind: logits and/or mask."""

    def outputs(self, image: NDArray[np.float32]) -> Outputs: ...


@dataclass(frozen=True)
class Runtime:
    """An opened engine; `provider` is what really executes.

    `times_artifact` is False where the engine's own speed is not that of the artifact
    (emulation), so latency has to be measured on another runtime. `execution` is what the
    engine says about how it runs. `int8_layers` names the file's layers that it runs in int8;
    None: it does not say. `elsewhere` tells what part of the network runs on something slower
    than what was asked for; None: no part that matters.
    """

    name: str
    provider: str
    engine: Engine
    times_artifact: bool = True
    execution: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    int8_layers: frozenset[str] | None = None
    elsewhere: str | None = None

    def mask(self, outputs: Outputs) -> NDArray[np.uint8]:
        """Return the class of every pixel, uint8 (1, H, W)."""
        given = outputs.get("mask")
        return class_map(outputs["logits"]) if given is None else given


def fed(image: NDArray[np.float32], manifest: Manifest) -> NDArray[np.floating]:
    """Return a file's input from one image: of its type, a fixed batch filled with copies."""
    batch = np.repeat(image, manifest.input.shape[0] or 1, axis=0)
    return batch.astype(manifest.input.dtype, copy=False)


def collected(manifest: Manifest, arrays: Sequence[NDArray[Any]]) -> Outputs:
    """Name a file's outputs, in manifest order, by kind; the first image only, logits float32."""
    outputs = {spec.kind: array[:1] for spec, array in zip(manifest.outputs, arrays, strict=True)}
    return {
        kind: array.astype(np.float32, copy=False) if kind == "logits" else array
        for kind, array in outputs.items()
    }
