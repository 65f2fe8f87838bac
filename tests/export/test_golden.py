"""The six DeepLab networks are the published ones."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from export.networks.table import ZOO
from export.networks.zoo import build_network, meta_network

VAINF = [name for name in ZOO if "/" not in name]

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def formula(shared: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_fill", shared / "golden/fill.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", VAINF)
def test_keys_in_the_same_order_and_shape(name: str, shared: Path) -> None:
    wanted = json.loads((shared / "golden/state_dict_shapes.json").read_text())[name]
    found = {key: list(value.shape) for key, value in meta_network(name, 21).state_dict().items()}

    assert list(found.items()) == list(wanted.items())


@pytest.mark.slow
@pytest.mark.parametrize("name", VAINF)
def test_logits_are_the_reference_implementations(
    name: str, shared: Path, formula: ModuleType
) -> None:
    wanted = np.load(shared / "golden/logits.npz")[name]
    network = formula.fill(build_network(name, 21, 16))
    with torch.no_grad():
        logits = network(formula.image(129))

    assert logits.shape == (1, 21, 129, 129)
    difference = np.abs(logits.numpy()[..., ::8, ::8] - wanted).max()
    assert difference <= 1e-4 * np.abs(wanted).max()
    assert wanted.std() > 0  # not vacuous
