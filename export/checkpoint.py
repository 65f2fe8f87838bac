"""Read a checkpoint file without executing anything in it."""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core.multiarray import scalar as numpy_scalar
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from export.errors import CheckpointError

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
_WRAPPERS = ("model_state", "state_dict", "model")
_DATA_PARALLEL_PREFIX = "module."
_AUX_PREFIX = "aux_classifier."


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the state_dict in `path`, on the CPU, in file order.

    Takes .safetensors, a bare state_dict, or a dict that holds one under `model_state`
    (VainF), `state_dict` or `model`; a `module.` prefix of every key is dropped.
    Raises CheckpointError when the file is missing, damaged, holds something else, or would
    have to run code to be loaded.
    """
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path}: no such file")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(
            f"checkpoint {path}: holds {type(content).__name__}, not a state_dict; save "
            "network.state_dict()"
        )
    strangers = [
        str(key)
        for key, value in content.items()
        if not isinstance(key, str) or not isinstance(value, Tensor)
    ]
    if strangers:
        raise CheckpointError(
            f"checkpoint {path}: not a state_dict, {shortened(strangers)} are no tensors with a "
            f"name and none of {', '.join(_WRAPPERS)} holds one; save network.state_dict()"
        )
    prefix = _DATA_PARALLEL_PREFIX
    if all(key.startswith(prefix) for key in content):
        content = {key.removeprefix(prefix): value for key, value in content.items()}
    return dict(content)


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
    found = {"missing": missing, "unexpected": unexpected, "misshaped": misshaped}
    return kept, [f"{kind}: {shortened(keys)}" for kind, keys in found.items() if keys]


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


def _read_pickle(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(_SAFE_GLOBALS), warnings.catch_warnings():
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
