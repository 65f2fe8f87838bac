import pickle
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import segmentation

from export.artifact.image import normalised, synthetic_images
from export.common.errors import CheckpointError
from export.common.files import sha256_of
from export.networks.network import Logits, load_network
from export.networks.zoo import IMAGENET_MEAN, IMAGENET_STD, build_network
from tests.networks import Tiny

TINY = "tests.networks:tiny"
LRASPP = "torchvision/lraspp_mobilenet_v3_large"


def _state(model: str, classes: int = 21) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return build_network(model, classes, None).state_dict()


def _saved(state: Any, folder: Path) -> str:
    path = folder / "checkpoint.pth"
    torch.save(state, path)
    return str(path)


def _equal(module: nn.Module, state: dict[str, Tensor]) -> bool:
    found = module.state_dict()
    return list(found) == list(state) and all(torch.equal(found[k], state[k]) for k in state)


# ------------------------------------------------------------------------------------ files


@pytest.fixture(scope="module")
def mobilenet() -> dict[str, Tensor]:
    return _state("deeplabv3_mobilenet")


def test_weights_of_a_file_are_used_and_recorded(
    tmp_path: Path, mobilenet: dict[str, Tensor]
) -> None:
    prefixed = {f"module.{key}": value for key, value in mobilenet.items()}
    path = _saved({"model_state": prefixed, "best_score": 0.5}, tmp_path)

    network = load_network("deeplabv3_mobilenet", path, classes=21)

    assert _equal(network.module.network, mobilenet)
    assert not network.module.training
    assert network.weights.model_dump() == {
        "how": "file",
        "file": "checkpoint.pth",
        "seed": None,
        "sha256": sha256_of(Path(path)),
        "key": None,
        "prefix": "module.",
    }


def test_torchvision_file_with_auxiliary_classifier(tmp_path: Path) -> None:
    model = "torchvision/deeplabv3_mobilenet_v3_large"
    with torch.random.fork_rng(devices=[]):
        trained = segmentation.deeplabv3_mobilenet_v3_large(
            weights=None, weights_backbone=None, num_classes=21, aux_loss=True
        ).eval()
    path = _saved(trained.state_dict(), tmp_path)
    image = torch.zeros(1, 3, 65, 65)

    with torch.no_grad():
        found = load_network(model, path, classes=21).module(image)

        torch.testing.assert_close(found, trained(image)["out"])


def test_the_users_own_network_takes_files(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        state = Tiny().state_dict()

    network = load_network(TINY, _saved(state, tmp_path), classes=21)

    assert _equal(network.module.network, state)


def _refused(model: str, path: str, classes: int = 21) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_network(model, path, classes=classes)
    message = str(caught.value)
    assert "\n" not in message
    assert path in message
    return message


def test_file_of_another_zoo_model(tmp_path: Path, mobilenet: dict[str, Tensor]) -> None:
    message = _refused("deeplabv3plus_mobilenet", _saved(mobilenet, tmp_path))

    assert "does not fit deeplabv3plus_mobilenet" in message
    assert "missing: classifier.project.0.weight" in message
    # the third entry of v3's classifier is its own 3x3 convolution
    assert "unexpected: classifier.classifier.0.convs.0.0.weight" in message
    assert message.endswith("; it fits deeplabv3_mobilenet")


def test_torchvision_file_given_to_vainfs_network(tmp_path: Path) -> None:
    message = _refused("deeplabv3_mobilenet", _saved(_state(LRASPP), tmp_path))

    assert message.endswith(f"; it fits {LRASPP}")


def test_another_class_count(tmp_path: Path) -> None:
    path = _saved(_state("deeplabv3_mobilenet", classes=5), tmp_path)

    message = _refused("deeplabv3_mobilenet", path)

    assert "misshaped: classifier.classifier.4.weight 5x256x1x1 instead of 21x256x1x1" in message
    assert "missing" not in message
    assert message.endswith("; it fits deeplabv3_mobilenet with 5 classes (--classes FILE)")


def test_file_that_fits_nothing(tmp_path: Path) -> None:
    path = _saved({"fc.weight": torch.zeros(10, 4), "fc.bias": torch.zeros(10)}, tmp_path)

    message = _refused("deeplabv3_mobilenet", path)

    assert "unexpected: fc.weight, fc.bias" in message
    assert message.endswith("; it fits no model of the zoo")


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(
    tmp_path: Path, mobilenet: dict[str, Tensor], poison: float
) -> None:
    key = "backbone.high_level_features.7.conv.1.0.weight"
    broken = {name: value.clone() for name, value in mobilenet.items()}
    broken[key].view(-1)[3] = poison

    message = _refused("deeplabv3_mobilenet", _saved(broken, tmp_path))

    assert f"not finite: {key}" in message


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("model", ["deeplabv3_mobilenet", "deeplabv3plus_mobilenet"])
def test_real_checkpoints_segment_real_images(model: str, shared: Path) -> None:
    # a wrong weight or a wrong preprocessing would give far less than 80 % of the pixels
    checkpoint = shared / f"checkpoints/{model}_voc_os16.pth"
    network = load_network(model, str(checkpoint), classes=21).module
    voc = shared / "voc/VOCdevkit/VOC2012"
    ids = (voc / "ImageSets/Segmentation/val.txt").read_text().split()[:3]

    right = counted = 0
    for name in ids:
        picture = Image.open(voc / f"JPEGImages/{name}.jpg").convert("RGB")
        label = np.asarray(Image.open(voc / f"SegmentationClass/{name}.png"))
        image = normalised(np.asarray(picture), IMAGENET_MEAN, IMAGENET_STD)
        with torch.no_grad():
            found = network(torch.from_numpy(image))[0].argmax(0).numpy()
        right += int((found == label)[label != 255].sum())
        counted += int((label != 255).sum())

    assert right / counted > 0.8


# ---------------------------------------------------------------------------------- default


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty download cache; returns the folder that torchvision's files lie in."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch/hub/checkpoints"
    folder.mkdir(parents=True)
    return folder


LRASPP_FILE = "lraspp_mobilenet_v3_large-d234d4ea.pth"


def test_default_weights_come_from_torchvision(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def offline(request: Request, *args: Any, **kwargs: Any) -> None:
        asked.append(request.full_url)
        raise URLError("no network here")

    monkeypatch.setattr("torch.hub.urlopen", offline)

    with pytest.raises(CheckpointError) as caught:
        load_network(LRASPP, "default", classes=21)

    url = f"https://download.pytorch.org/models/{LRASPP_FILE}"
    assert asked == [url]
    message = str(caught.value)
    assert url in message
    assert "no network here" in message
    assert "--weights FILE" in message
    assert list(hub.iterdir()) == []


def test_a_file_in_the_cache_is_used_and_recorded(hub: Path) -> None:
    state = _state(LRASPP)
    torch.save(state, hub / LRASPP_FILE)

    network = load_network(LRASPP, "default", classes=21)

    assert _equal(network.module.network, state)
    assert network.weights.how == "default"
    assert network.weights.file == LRASPP_FILE
    assert network.weights.sha256 == sha256_of(hub / LRASPP_FILE)


class _Evil:
    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.trap,)


def test_a_file_in_the_cache_runs_no_code(hub: Path, tmp_path: Path) -> None:
    torch.save({"weight": _Evil(tmp_path / "trap")}, hub / LRASPP_FILE)

    with pytest.raises(CheckpointError):
        load_network(LRASPP, "default", classes=21)
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize("content", [b"", b"<html>", pickle.dumps([1, 2])])
def test_a_broken_file_in_the_cache(hub: Path, content: bytes) -> None:
    (hub / LRASPP_FILE).write_bytes(content)

    with pytest.raises(CheckpointError):
        load_network(LRASPP, "default", classes=21)


def test_vainfs_networks_have_no_default_weights() -> None:
    with pytest.raises(CheckpointError, match="no default weights; give --weights FILE"):
        load_network("deeplabv3_mobilenet", "default", classes=21)


def test_default_of_a_users_network_is_what_it_was_built_with() -> None:
    network = load_network(TINY, "default", classes=21)

    assert _equal(network.module.network, build_network(TINY, 21, None).state_dict())
    assert network.weights.how == "default"
    assert network.weights.sha256 is None


# ----------------------------------------------------------------------------------- random


def test_random_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(11)
    first = load_network("deeplabv3_mobilenet", "random", classes=21, seed=3)
    torch.manual_seed(12)
    again = load_network("deeplabv3_mobilenet", "random", classes=21, seed=3)
    other = load_network("deeplabv3_mobilenet", "random", classes=21, seed=4)

    state = first.module.state_dict()
    assert _equal(again.module, state)
    differing = {k for k, v in other.module.state_dict().items() if not torch.equal(v, state[k])}
    # what is trained differs, and so do the statistics that follow from it
    assert {k for k in state if k.endswith(("running_mean", "running_var"))} <= differing
    assert {k for k, v in state.items() if v.dim() == 4} <= differing
    assert (first.weights.how, first.weights.seed) == ("random", 3)


def test_random_weights_leave_the_global_generator_alone() -> None:
    torch.manual_seed(11)
    wanted = torch.rand(4)
    torch.manual_seed(11)

    load_network(LRASPP, "random", classes=21, seed=3)

    assert torch.equal(torch.rand(4), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["deeplabv3_resnet101", "deeplabv3plus_mobilenet", TINY])
def test_random_networks_have_activations_of_order_one(model: str) -> None:
    module = load_network(model, "random", classes=21, seed=0).module
    picture = next(synthetic_images(1, (129, 129), seed=123))  # not one the statistics saw
    image = torch.from_numpy(normalised(picture, IMAGENET_MEAN, IMAGENET_STD))
    spread: list[float] = []
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.register_forward_hook(lambda *call: spread.append(float(call[2].std())))

    with torch.no_grad():
        logits = module(image)

    assert logits.isfinite().all()
    assert 0.01 < float(logits.std()) < 100
    # inside too: growth layer by layer is what default statistics would give; maps of one pixel
    # (image pooling) have no spread of their own
    assert spread
    assert max(spread) < 20
    assert float(np.median(spread)) > 0.3


# ----------------------------------------------------------------------------------- logits


class _Small(nn.Module):
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"out": F.avg_pool2d(image, 4), "aux": image}


def test_logits_are_the_out_entry_at_the_images_size() -> None:
    image = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))

    logits = Logits(_Small())(image)

    small = F.avg_pool2d(image, 4)
    assert logits.shape == (2, 3, 16, 24)
    # half-pixel centres: output (1, 1) lies at input (-0.125, -0.125), clamped to pixel (0, 0);
    # output (2, 2) at (2.5 / 4 - 0.5) = 0.125 between pixels 0 and 1
    torch.testing.assert_close(logits[:, :, 1, 1], small[:, :, 0, 0])
    rows = 0.875 * small[:, :, 0] + 0.125 * small[:, :, 1]
    torch.testing.assert_close(logits[:, :, 2, 2], 0.875 * rows[..., 0] + 0.125 * rows[..., 1])
