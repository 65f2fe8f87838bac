"""The networks Segport can build by name, and the user's own."""

import importlib
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from export.artifact.size import NOMINAL_SIZE
from export.common.errors import UsageError
from export.networks.libraries import library_network, library_of
from export.networks.table import ZOO, zoo_entry
from export.networks.torch_cost import NetworkCost, torch_cost

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def build_network(name: str, classes: int, output_stride: int | None) -> nn.Module:
    """Build a network with fresh weights, in train mode.

    `output_stride` None takes the definition's default. A user's callable is called without
    arguments and must return a module that maps (N, 3, H, W) to logits or to a dict with
    'out'. A library's names are those of `export.networks.libraries`. Raises UsageError for an
    unknown name, an output stride the definition does not offer, or a callable that cannot be
    imported or fails.
    """
    entry = zoo_entry(name)
    if entry is None:
        if output_stride is not None:
            raise UsageError(f"--output-stride does not apply to {name}: its code decides")
        return library_network(name, classes) if library_of(name) else _users_network(name)
    stride = entry.output_strides[0] if output_stride is None else output_stride
    if stride not in entry.output_strides:
        offered = " or ".join(map(str, entry.output_strides))
        raise UsageError(f"output stride {stride}: {name} has {offered}")
    return entry.build(classes, stride)


def _users_network(name: str) -> nn.Module:
    module_name, _, attribute = name.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        network = getattr(importlib.import_module(module_name), attribute)()
    except Exception as error:  # the user's code may raise anything
        raise UsageError(f"model {name}: {type(error).__name__}: {error}") from error
    if not isinstance(network, nn.Module):
        raise UsageError(f"model {name}: returned {type(network).__name__}, not a torch module")
    return network


def meta_network(name: str, classes: int, output_stride: int | None = None) -> nn.Module:
    """Build a network on torch's meta device: shapes and structure, no memory, no weights."""
    with torch.device("meta"):
        return build_network(name, classes, output_stride)


def zoo_costs(classes: int = 21) -> dict[str, NetworkCost]:
    """Count every network of the zoo at 3x513x513, default output stride."""
    return {name: torch_cost(meta_network(name, classes), NOMINAL_SIZE) for name in ZOO}


def zoo_table() -> list[dict[str, Any]]:
    """Return one row per network: source, cost (per image, 3x513x513) and published figures."""
    return [
        {
            "model": name,
            "source": ZOO[name].source,
            "params": cost.params,
            "macs": cost.macs,
            "flops_published_rule": round(cost.flops_published, 3),
            "published_params_m": ZOO[name].published.params_m,
            "published_flops": ZOO[name].published.flops,
            "published_flops_rule": ZOO[name].published.flops_rule,
            "published_miou": ZOO[name].published.miou,
            "published_miou_on": ZOO[name].published.miou_on,
            "published_vacc_fp16": ZOO[name].published.vacc_fp16,
            "published_vacc_int8": ZOO[name].published.vacc_int8,
            "uncounted": cost.uncounted,
        }
        for name, cost in zoo_costs().items()
    ]


def zoo_comparison() -> list[dict[str, Any]]:
    """Return `zoo_table` with what a fair comparison with the published figures needs.

    `macs_at_published_size` is of the network as exported, `whole_params` and `whole_macs` are
    of the network that the source counted, both for an image of the source's size.
    """
    return [row | _at_published_size(row["model"]) for row in zoo_table()]


def _at_published_size(name: str, classes: int = 21) -> dict[str, int]:
    entry = ZOO[name]
    build = entry.build_published or entry.build
    with torch.device("meta"):
        whole_network = build(classes, entry.output_strides[0])
    whole = torch_cost(whole_network, entry.published.size)
    exported = torch_cost(meta_network(name, classes), entry.published.size)
    return {
        "macs_at_published_size": exported.macs,
        "whole_params": whole.params,
        "whole_macs": whole.macs,
    }
