"""Read a checkpoint file without executing anything in it."""

import pickle
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core.multiarray import scalar as numpy_scalar
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from export.common.errors import CheckpointError, unknown

# VainF checkpoints carry `best_score`, a numpy float. Its constructor was renamed in numpy 2,
# so a file may name either path. Nothing else beyond plain tensors is allowed.
_SAFE_GLOBALS: list[Any] = [
    (numpy_scalar, "numpy.core.multiarray.scalar"),
    (numpy_scalar, "numpy._core.multiarray.scalar"),
    np.dtype,
    np.dtypes.Float16DType,
    np.dtypes.Float32DType,
    np.dtypes.Float64DType,
]
_NOT_WEIGHTS = ("optim", "sched", "scaler")
"""Parts of the names under which training keeps other tensors."""
_DEPTH = 3
"""How far below the top of a checkpoint weights are looked for."""
_WRAPPER_NAMES = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""What torch.compile and FSDP put between the names of modules."""
_AUX_PREFIX = "aux_classifier."


def read_state_dict(path: Path, key: str | None = None) -> dict[str, Tensor]:
    """Return the state_dict in `path`, on the CPU, in file order.

    Takes .safetensors, a bare state_dict, or what trainers save around one, under whatever name;
    where there are several, such as an average of weights beside the last ones, `key` says which.
    Raises CheckpointError when the file is missing, damaged, holds something else, or would
    have to run code to be loaded.
    """
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path}: no such file")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(
            f"checkpoint {path}: holds {type(content).__name__}, not a state_dict; save "
            "network.state_dict()"
        )
    states = dict(_state_dicts(content))
    if key is not None:
        if key not in states:
            raise CheckpointError(
                f"checkpoint {path}: {unknown('weights', key, [top or '(top)' for top in states])}"
            )
        return dict(states[key])
    if "" in states:
        return dict(states[""])
    if len(states) > 1:
        raise CheckpointError(
            f"checkpoint {path}: holds weights under {', '.join(states)}; say which with "
            f"--weights-key, such as --weights-key {next(iter(states))}"
        )
    if not states:
        others = [str(k) for k, v in content.items() if not isinstance(v, Tensor)]
        named = shortened(others or [str(k) for k in content])
        raise CheckpointError(
            f"checkpoint {path}: not a state_dict, {named} are not named tensors, and nothing "
            "in it is one; save network.state_dict()"
        )
    return dict(next(iter(states.values())))


def _state_dicts(
    content: Mapping[Any, Any], name: str = "", depth: int = _DEPTH
) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """Yield what holds named tensors and nothing else, by the keys that lead there."""
    if content and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()):
        yield name, content
        return
    for key, value in content.items() if depth else ():
        if not isinstance(value, Mapping) or not isinstance(key, str):
            continue
        if not any(part in key.lower() for part in _NOT_WEIGHTS):
            yield from _state_dicts(value, f"{name}.{key}" if name else key, depth - 1)


def without_prefix(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], str]:
    """Return `state` by the names of `wanted`, and the beginning that all its names had more.

    Empty where names fit as they are, or nothing makes them fit. Wrappers' names go from between
    the others, too.
    """
    bare = {_unwrapped(key): value for key, value in state.items()}
    variants: list[tuple[dict[str, Tensor], str]] = [(dict(state), ""), (bare, _removed(state))]
    for prefix in _prefixes(bare, wanted):
        cut = {name.removeprefix(prefix): value for name, value in bare.items()}
        variants.append((cut, prefix + _removed(state)))
    return max(variants, key=lambda variant: len(wanted.keys() & variant[0].keys()))


def _prefixes(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> set[str]:
    """Return what all names begin with and the first of the wanted ones does not."""
    first = next(iter(wanted), "")
    prefixes = {name.removesuffix(first) for name in state if name.endswith(f".{first}")}
    return {prefix for prefix in prefixes if all(name.startswith(prefix) for name in state)}


def _unwrapped(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _WRAPPER_NAMES)


def _removed(state: Mapping[str, Tensor]) -> str:
    """Return the wrappers' names that occur, each with its dot."""
    parts = {part for name in state for part in name.split(".")}
    return "".join(f"{name}." for name in _WRAPPER_NAMES if name in parts)


def fit_state_dict(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """Match `state` with a module's own state_dict; return what to load and what is wrong.

    Auxiliary classifiers that the module does not have are dropped, and so are missing
    `num_batches_tracked` counters, which inference does not use.
    """
    has_aux = any(key.startswith(_AUX_PREFIX) for key in wanted)
    kept = {k: v for k, v in state.items() if has_aux or not k.startswith(_AUX_PREFIX)}
    missing = [k for k in wanted if k not in kept and not k.endswith("num_batches_tracked")]
    unexpected = [key for key in kept if key not in wanted]
    misshaped = [
        f"{key} {_shape(kept[key])} instead of {_shape(value)}"
        for key, value in wanted.items()
        if key in kept and kept[key].shape != value.shape
    ]
    mismatches = {"missing": missing, "unexpected": unexpected, "misshaped": misshaped}
    return kept, [f"{kind}: {shortened(keys)}" for kind, keys in mismatches.items() if keys]


def shortened(names: list[str], most: int = 6) -> str:
    """Join `names`, the first few in full and the rest as a count."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"checkpoint {path}: not a safetensors file ({error})") from error


class _Inert:
    """Stands in for settings of a training run, none of whose code is needed or run."""

    def __init__(self, *arguments: Any, **named: Any) -> None: ...
    def __setstate__(self, state: Any) -> None: ...
    def __setitem__(self, key: Any, value: Any) -> None: ...
    def append(self, item: Any) -> None:
        """Take what a list would."""

    def extend(self, items: Any) -> None:
        """Take what a list would."""


_HOLDERS = (
    "argparse.Namespace", "types.SimpleNamespace", "easydict.EasyDict", "yacs.config.CfgNode",
    "fvcore.common.config.CfgNode", "addict.addict.Dict", "mmengine.config.config.ConfigDict",
    "pathlib.Path", "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.PurePosixPath",
    "pathlib._local.PosixPath", "pathlib._local.WindowsPath", "datetime.datetime",
    "omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig",
    "omegaconf.base.ContainerMetadata", "omegaconf.base.Metadata", "omegaconf.nodes.AnyNode",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
)  # fmt: skip
"""Classes in whose place `_Inert` is made; nothing of theirs is imported."""


def _read_pickle(path: Path) -> Any:
    allowed = [*_SAFE_GLOBALS, *((_Inert, name) for name in _HOLDERS)]
    try:
        with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters comes as an exception
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler trips over damaged files in any way
        if name := _foreign_code(error):
            raise CheckpointError(
                f"checkpoint {path}: refused, it would run code when loaded ({name}); save only "
                "network.state_dict()"
            ) from error
        raise CheckpointError(
            f"checkpoint {path}: truncated or not a PyTorch checkpoint; download or save it again"
        ) from error


def _foreign_code(error: Exception) -> str | None:
    """Name what the file wanted to call, or None when it is just damaged."""
    message = str(error)
    _, refused, rest = message.partition("Unsupported global: GLOBAL ")
    if refused:
        name = rest.split()[0]
        return None if name.endswith(".") else name  # cut off in the middle of a name
    if isinstance(error, pickle.UnpicklingError) and "Trying to" in message:
        return "a function that is not allowed"
    return None
