import argparse
import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from export.common.errors import CheckpointError
from export.networks.checkpoint import fit_state_dict, read_state_dict, without_prefix

STATE = OrderedDict(
    [
        ("conv.weight", torch.arange(24.0).reshape(2, 3, 2, 2)),
        ("conv.bias", torch.tensor([0.5, -0.5])),
        ("bn.num_batches_tracked", torch.tensor(7)),
    ]
)


def _same(found: dict[str, Tensor]) -> None:
    assert list(found) == list(STATE)
    assert all(torch.equal(found[key], STATE[key]) for key in STATE)


def _saved(content: Any, folder: Path, **options: Any) -> Path:
    path = folder / "checkpoint.pth"
    torch.save(content, path, **options)
    return path


def _prefixed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"module.{key}": value for key, value in state.items()}


@pytest.mark.parametrize(
    "wrapper", ["model_state", "state_dict", "model", "model_state_dict", "net", "whatever", None]
)
def test_wrapped_and_bare(tmp_path: Path, wrapper: str | None) -> None:
    content = STATE if wrapper is None else {"cur_itrs": 30000, wrapper: STATE}

    _same(read_state_dict(_saved(content, tmp_path)))


def test_wrapped_twice_beside_what_training_keeps(tmp_path: Path) -> None:
    content = {
        "epoch": 3,
        "nets": {"student": STATE},
        "optimizer": {"state": {"w": {"exp_avg": torch.ones(3)}}},
        "lr_schedulers": {"last": {"lr": torch.ones(1)}},
    }
    _same(read_state_dict(_saved(content, tmp_path)))


def test_of_weights_and_their_average_the_user_says_which(tmp_path: Path) -> None:
    average = {key: value + 1 for key, value in STATE.items()}
    path = _saved({"model": STATE, "model_ema": average}, tmp_path)

    with pytest.raises(CheckpointError, match=r"model, model_ema; say which with --weights-key"):
        read_state_dict(path)
    _same(read_state_dict(path, "model"))
    assert torch.equal(read_state_dict(path, "model_ema")["conv.bias"], STATE["conv.bias"] + 1)
    with pytest.raises(CheckpointError, match="did you mean 'model_ema'"):
        read_state_dict(path, "modelema")


@pytest.mark.parametrize(
    "prefix", ["module.", "net.", "_orig_mod.", "module._orig_mod.", "model.net.", "student."]
)
def test_a_beginning_that_all_names_have_is_found_by_the_networks_own(prefix: str) -> None:
    state = {prefix + key: value for key, value in STATE.items()}

    found, dropped = without_prefix(state, STATE)

    _same(found)
    assert sorted(dropped.split(".")) == sorted(prefix.split("."))


def test_wrappers_names_go_from_between_the_others() -> None:
    state = {
        key.replace("conv.", "conv._fsdp_wrapped_module."): value for key, value in STATE.items()
    }
    found, dropped = without_prefix(state, STATE)
    _same(found)
    assert dropped == "_fsdp_wrapped_module."


def test_a_network_that_wants_the_beginning_keeps_it() -> None:
    state = _prefixed(STATE)
    assert without_prefix(state, state) == (state, "")
    # and where not all names have it, none loses it
    mixed = {**_prefixed(STATE), "other.weight": torch.ones(1)}
    assert without_prefix(mixed, STATE) == (mixed, "")


def test_settings_of_the_training_run_are_passed_over(tmp_path: Path) -> None:
    content = {
        "args": argparse.Namespace(lr=0.1, out=Path("runs"), nested=argparse.Namespace(a=1)),
        "state_dict": STATE,
    }
    _same(read_state_dict(_saved(content, tmp_path)))


def test_code_among_the_settings_is_refused_and_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    settings = argparse.Namespace(hook=_Evil(trap))
    path = _saved({"args": settings, "state_dict": STATE}, tmp_path)
    with pytest.raises(CheckpointError, match="refused, it would run code"):
        read_state_dict(path)
    assert not trap.exists()


def test_the_old_file_format(tmp_path: Path) -> None:
    _same(read_state_dict(_saved(STATE, tmp_path, _use_new_zipfile_serialization=False)))


def test_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_file(dict(STATE), path)

    found = read_state_dict(path)

    assert set(found) == set(STATE)  # the format sorts its keys
    assert all(torch.equal(found[key], STATE[key]) for key in STATE)


# best_score as VainF's training saves it: a numpy float, whose constructor numpy 2 renamed
_SPELLINGS = (b"numpy.core.multiarray", b"numpy._core.multiarray")


def _respelled(path: Path, spelling: bytes) -> None:
    """Rewrite the name of numpy's scalar constructor in a checkpoint's pickle.

    Protocol 2 writes a global as text, "c<module>\\n<name>\\n", so a replacement is safe.
    """
    with zipfile.ZipFile(path) as archive:
        members = [(entry, archive.read(entry)) for entry in archive.infolist()]
    replaced = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for entry, data in members:
            if entry.filename.endswith("data.pkl"):
                for other in _SPELLINGS:
                    name = b"c" + other + b"\nscalar\n"
                    replaced += data.count(name)
                    data = data.replace(name, b"c" + spelling + b"\nscalar\n")
            archive.writestr(entry, data)
    assert replaced >= 1


@pytest.mark.parametrize("spelling", _SPELLINGS)
@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
def test_vainf_checkpoint_under_both_numpy_spellings(
    tmp_path: Path, spelling: bytes, kind: type[np.floating]
) -> None:
    content = {
        "cur_itrs": 30000,
        "model_state": STATE,
        "optimizer_state": {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": []},
        "scheduler_state": {"max_iters": 30000, "power": 0.9, "base_lrs": [0.001, 0.01]},
        "best_score": kind(0.7),
    }
    path = _saved(content, tmp_path)
    _respelled(path, spelling)

    _same(read_state_dict(path))


class _Evil:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize("hidden", [False, True])
def test_code_is_refused_and_not_run(tmp_path: Path, new_format: bool, hidden: bool) -> None:
    trap = tmp_path / "trap"
    evil = _Evil(trap)
    content: Any = {"model_state": STATE, "best_score": evil} if hidden else evil
    path = _saved(content, tmp_path, _use_new_zipfile_serialization=new_format)

    with pytest.raises(CheckpointError) as caught:
        read_state_dict(path)

    assert not trap.exists()
    message = str(caught.value)
    assert f"checkpoint {path}: refused, it would run code when loaded" in message
    assert "\n" not in message
    # the trap works: whoever loads it naively runs it
    torch.load(path, weights_only=False)
    assert trap.is_dir()


def test_a_plain_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(pickle.dumps(_Evil(trap), protocol=2))

    with pytest.raises(CheckpointError):
        read_state_dict(path)
    assert not trap.exists()


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    path = _saved(torch.nn.Conv2d(3, 2, 1), tmp_path)

    with pytest.raises(CheckpointError, match=r"refused.*torch\.nn.*save only network.state_dict"):
        read_state_dict(path)


def test_numpy_arrays_are_not_on_the_allow_list(tmp_path: Path) -> None:
    path = _saved({"weight": np.ones(3)}, tmp_path)

    with pytest.raises(CheckpointError, match="refused"):
        read_state_dict(path)


def test_reading_leaves_torchs_own_allow_list_alone(tmp_path: Path) -> None:
    before = set(torch.serialization.get_safe_globals())

    read_state_dict(_saved(STATE, tmp_path))

    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize(
    ("new_format", "reason"),
    [
        (True, "truncated or not a PyTorch checkpoint"),
        # cut in the middle of a name, the old format seems to ask for a strange function
        (False, "truncated or not a PyTorch checkpoint|refused"),
    ],
)
def test_truncated_at_any_place(tmp_path: Path, new_format: bool, reason: str) -> None:
    path = _saved(STATE, tmp_path, _use_new_zipfile_serialization=new_format)
    whole = path.read_bytes()

    for length in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=reason):
            read_state_dict(path)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_missing_file_and_folder(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"absent{suffix}"
    with pytest.raises(CheckpointError, match=f"checkpoint {path}: no such file"):
        read_state_dict(path)

    path.mkdir()
    with pytest.raises(CheckpointError, match="no such file"):
        read_state_dict(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<!DOCTYPE html>\n<html>",
        "version https://git-lfs.github.com/spec/v1\n",
        "this is not a checkpoint\n",
        "Error 404\n",
        "Moved permanently\n",
        "qqq\n",
        "{}\n",
    ],
)
def test_text_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "checkpoint.pth"
    path.write_text(text)

    with pytest.raises(CheckpointError, match=f"checkpoint {path}: ") as caught:
        read_state_dict(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"text", b"\x08" + bytes(7) + b"{}"])
def test_broken_safetensors(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match="not a safetensors file"):
        read_state_dict(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([torch.ones(2)], "holds list, not a state_dict"),
        (torch.ones(2), "holds Tensor, not a state_dict"),
        ({}, "not a state_dict"),
        ({"model_state": {}}, "not a state_dict"),
        ({"epoch": 3, "loss": 0.5}, "epoch, loss are not .*tensors"),
        ({"weight": torch.ones(1), "note": "hello"}, " note are not .*tensors"),
        ({0: torch.ones(1)}, "not a state_dict"),
    ],
)
def test_content_that_is_no_state_dict(tmp_path: Path, content: Any, reason: str) -> None:
    path = _saved(content, tmp_path)

    with pytest.raises(CheckpointError, match=reason):
        read_state_dict(path)


def test_tensors_land_on_the_cpu_whatever_the_stream(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(STATE, buffer)
    path = tmp_path / "weights.anything"
    path.write_bytes(buffer.getvalue())

    assert {tensor.device.type for tensor in read_state_dict(path).values()} == {"cpu"}


def test_fit_lists_every_kind_of_mismatch() -> None:
    state = {"a": torch.zeros(2, 3), "b": torch.zeros(4), "extra": torch.zeros(1)}
    wanted = {"a": torch.zeros(2, 5), "b": torch.zeros(4), "absent": torch.zeros(())}

    _, problems = fit_state_dict(state, wanted)

    assert problems == [
        "missing: absent",
        "unexpected: extra",
        "misshaped: a 2x3 instead of 2x5",
    ]


def test_long_lists_are_shortened() -> None:
    _, problems = fit_state_dict({f"k{i}": torch.zeros(1) for i in range(9)}, {})

    assert problems == ["unexpected: k0, k1, k2, k3, k4, k5 and 3 more"]


def test_auxiliary_classifier_and_counters_do_not_matter() -> None:
    state = {"w": torch.ones(1), "aux_classifier.0.weight": torch.ones(3)}
    wanted = {"w": torch.zeros(1), "bn.num_batches_tracked": torch.tensor(0)}

    kept, problems = fit_state_dict(state, wanted)

    assert problems == []
    assert list(kept) == ["w"]


def test_an_auxiliary_classifier_that_the_module_has_is_kept() -> None:
    state = {"w": torch.ones(1), "aux_classifier.0.weight": torch.ones(3)}

    kept, problems = fit_state_dict(state, state)

    assert problems == []
    assert list(kept) == list(state)
