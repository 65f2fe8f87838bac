import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from export.common.errors import UsageError, unknown
from export.networks.table import ZOO, zoo_entry
from export.networks.torch_cost import torch_cost
from export.networks.zoo import build_network, meta_network, zoo_comparison, zoo_table
from tests.segport.process import answers
from tests.segport.slowness import within

VAINF = [name for name in ZOO if "/" not in name]
TORCHVISION = [name for name in ZOO if name.startswith("torchvision/")]


@pytest.fixture(scope="module")
def table() -> dict[str, dict[str, Any]]:
    return {row["model"]: row for row in zoo_table()}


def test_twelve_networks_by_the_names_of_the_design(table: dict[str, dict[str, Any]]) -> None:
    heads, backbones = ("deeplabv3", "deeplabv3plus"), ("mobilenet", "resnet50", "resnet101")
    ours = {f"{head}_{backbone}" for head in heads for backbone in backbones}
    theirs = {
        "deeplabv3_resnet50", "deeplabv3_resnet101", "fcn_resnet50", "fcn_resnet101",
        "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large",
    }  # fmt: skip

    assert set(table) == ours | {f"torchvision/{name}" for name in theirs}
    assert len(table) == 12


def _as_printed(number: float, printed: str) -> str:
    return f"{number:.{len(printed.partition('.')[2])}f}"


@pytest.mark.shared
def test_published_columns_to_the_digit(shared: Path, table: dict[str, dict[str, Any]]) -> None:
    # numbers are kept as text: the digits printed are the precision asked for
    published = json.loads((shared / "published.json").read_text(), parse_float=str)
    vainf = published["vainf_deeplab_voc"]
    assert sorted(vainf["models"]) == sorted(VAINF)

    for name, printed in vainf["models"].items():
        row = table[name]
        params, flops = printed["params_m"], printed["flops_published"]
        assert _as_printed(row["params"] / 1e6, params) == params, name
        assert _as_printed(row["flops_published_rule"], flops) == flops, name
        assert _as_printed(row["published_flops"], flops) == flops, name
        macs = vainf["conv_macs_g"][name]
        assert _as_printed(row["macs"] / 1e9, macs) == macs, name
        assert str(row["published_miou"]) == printed["miou_fp32"], name
        assert row["published_params_m"] == float(params), name
        for precision in ("fp16", "int8"):
            vacc = printed[f"vacc_{precision}"]
            assert row[f"published_vacc_{precision}"] == float(vacc), name
        # THOP's own figure, before the division that makes the published one
        cost = torch_cost(meta_network(name, 21), (513, 513))
        thop = vainf["thop_macs_g"][name]
        assert _as_printed(cost.thop / 1e9, thop) == thop, name


@pytest.mark.shared
def test_published_miou_of_torchvision(shared: Path, table: dict[str, dict[str, Any]]) -> None:
    published = json.loads((shared / "published.json").read_text())
    for name, figures in published["torchvision_coco_with_voc_labels"]["models"].items():
        assert table[f"torchvision/{name}"]["published_miou"] == figures["miou"]


def _auxiliary(name: str) -> tuple[int, int]:
    """Parameters and MACs at 520x520 of the auxiliary classifier, which is not exported.

    torchvision's FCNHead: 3x3 convolution to a quarter of the channels, BatchNorm, 1x1 to 21.
    It reads layer3 of the ResNets (1024 channels) or block 6 of MobileNetV3 (40 channels), both at
    stride 8, that is 65 x 65.
    """
    if "lraspp" in name:
        return 0, 0
    channels = 40 if "mobilenet" in name else 1024
    inner = channels // 4
    weights = channels * inner * 9 + inner * 21
    return weights + 2 * inner + 21, 65 * 65 * weights


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_own_figures(name: str) -> None:
    # torchvision published the figures of the network with its auxiliary classifier
    cost = torch_cost(meta_network(name, 21), (520, 520))
    weights = ZOO[name].default_weights
    assert weights is not None
    params, macs = _auxiliary(name)

    assert cost.params + params == weights.meta["num_params"]
    assert round((cost.macs + macs) / 1e9, 3) == weights.meta["_ops"]


@pytest.mark.slow
def test_comparison_counts_what_the_source_counted(table: dict[str, dict[str, Any]]) -> None:
    rows = {row["model"]: row for row in zoo_comparison()}

    assert list(rows) == list(table)
    for name, row in rows.items():
        assert row.items() >= table[name].items()
    for name in VAINF:  # published at 513x513, as exported
        assert rows[name]["macs_at_published_size"] == rows[name]["macs"]
        assert rows[name]["whole_macs"] == rows[name]["macs"]
        assert rows[name]["whole_params"] == rows[name]["params"]
    for name in TORCHVISION:  # published at 520x520, with the auxiliary classifier
        row, (params, macs) = rows[name], _auxiliary(name)
        assert row["whole_params"] - row["params"] == params
        assert row["whole_macs"] - row["macs_at_published_size"] == macs
        assert row["macs_at_published_size"] > row["macs"]


def test_uncounted_operators_are_reported(table: dict[str, dict[str, Any]]) -> None:
    # v3 resizes the pooled features and the logits, v3+ the ASPP's output as well
    assert table["deeplabv3_mobilenet"]["uncounted"]["upsample_bilinear2d"] == 2
    assert table["deeplabv3plus_mobilenet"]["uncounted"]["upsample_bilinear2d"] == 3
    # stem and 17 blocks: one ReLU6 in the first block, two in the other 16
    assert table["deeplabv3_mobilenet"]["uncounted"]["hardtanh"] == 1 + 1 + 2 * 16
    # residual sums: 3, 4, 6 and 3 blocks
    assert table["deeplabv3_resnet50"]["uncounted"]["add"] == 16


@pytest.mark.slow
def test_table_in_a_fresh_process_takes_less_than_eight_seconds() -> None:
    """Two and a half of them are torch's import."""
    code = "from export.networks.zoo import zoo_table; assert len(zoo_table()) == 12"
    assert within(8, partial(answers, sys.executable, "-c", code)) == []


@pytest.mark.parametrize("name", ["deeplabv3_mobilenet", "deeplabv3plus_resnet50"])
def test_output_stride_8_has_the_same_keys_and_doubled_rates(name: str) -> None:
    coarse, fine = meta_network(name, 21, 16), meta_network(name, 21, 8)

    assert [(k, v.shape) for k, v in fine.state_dict().items()] == [
        (k, v.shape) for k, v in coarse.state_dict().items()
    ]
    assert _aspp_rates(coarse) == [6, 12, 18]
    assert _aspp_rates(fine) == [12, 24, 36]
    image = torch.empty(1, 3, 129, 129, device="meta")
    # VainF's unpadded MobileNet stem makes 64 of 129, later strides halve it; a ResNet's first
    # stride makes 65 of it, the later ones (n + 1) / 2
    sizes = (8, 16) if "mobilenet" in name else (9, 17)
    for network, size in zip((coarse, fine), sizes, strict=True):
        network.eval()
        low, high = network.backbone(image)  # type: ignore[operator]
        assert high.shape[-2:] == (size, size)
        assert low.shape[-2:] == ((32, 32) if "mobilenet" in name else (33, 33))
        assert network(image).shape == (1, 21, 129, 129)


def _aspp_rates(network: nn.Module) -> list[int]:
    dilated = [
        module
        for key, module in network.named_modules()
        if key.startswith("classifier") and isinstance(module, nn.Conv2d) and module.dilation[0] > 1
    ]
    assert all(conv.padding == conv.dilation == (conv.dilation[0],) * 2 for conv in dilated)
    return [conv.dilation[0] for conv in dilated]


def test_class_count_sets_the_channels() -> None:
    network = meta_network("deeplabv3plus_mobilenet", 7).eval()

    assert network(torch.empty(2, 3, 65, 49, device="meta")).shape == (2, 7, 65, 49)


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("deeplabv3_mobilnet", "deeplabv3_mobilenet"),
        ("deeplabv3plus-resnet50", "deeplabv3plus_resnet50"),
        ("fcn_resnet101", "torchvision/fcn_resnet101"),
    ],
)
def test_unknown_model_suggests_the_nearest(wrong: str, nearest: str) -> None:
    with pytest.raises(UsageError) as caught:
        build_network(wrong, 21, None)
    message = str(caught.value)
    assert f"unknown model '{wrong}': did you mean '{nearest}'?" in message
    assert "\n" not in message


def test_no_suggestion_where_nothing_is_near() -> None:
    message = unknown("colour", "xyz", ["red", "green"])

    assert message == "unknown colour 'xyz': known are green, red"


@pytest.mark.parametrize(
    ("name", "stride", "offered"),
    [
        ("deeplabv3_resnet50", 32, "16 or 8"),
        ("deeplabv3_mobilenet", 4, "16 or 8"),
        ("deeplabv3_mobilenet", 0, "16 or 8"),
        ("torchvision/fcn_resnet50", 16, "8"),
    ],
)
def test_output_stride_that_is_not_offered(name: str, stride: int, offered: str) -> None:
    with (
        torch.device("meta"),
        pytest.raises(UsageError, match=f"output stride {stride}: {name} has {offered}$"),
    ):
        build_network(name, 21, stride)


def test_users_callable() -> None:
    network = build_network("tests.networks:tiny", 21, None)

    assert network(torch.zeros(1, 3, 65, 65)).shape == (1, 21, 65, 65)
    assert zoo_entry("tests.networks:tiny") is None


def test_users_module_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net_of_mine.py").write_text(
        "from torch import nn\ndef build():\n    return nn.Conv2d(3, 5, 1)\n"
    )
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.chdir(tmp_path)

    assert build_network("net_of_mine:build", 5, None)(torch.zeros(1, 3, 4, 4)).shape[1] == 5


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no_such_module:build", "No module named 'no_such_module'"),
        ("tests.networks:absent", "has no attribute 'absent'"),
        ("tests.networks:", "AttributeError"),
        (":tiny", "Empty module name"),
        ("tests.export.odd_networks:raises", "RuntimeError: no weights today"),
        ("tests.export.odd_networks:no_module", "returned str, not a torch module"),
    ],
)
def test_users_callable_that_cannot_be_used(name: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        build_network(name, 21, None)
    assert str(caught.value).startswith(f"model {name}: ")


def test_output_stride_does_not_apply_to_users_networks() -> None:
    with pytest.raises(UsageError, match=r"--output-stride does not apply to tests\.networks:tiny"):
        build_network("tests.networks:tiny", 21, 8)


@pytest.mark.slow
def test_a_mobilenet_does_not_wait_for_torchvision() -> None:
    """Which imports torch's compiler, and takes as long as torch itself."""
    code = (
        "import sys; from export.networks.network import load_network; "
        "load_network('deeplabv3plus_mobilenet', 'random', classes=21); "
        "assert not {'torchvision', 'torch._dynamo'} & set(sys.modules)"
    )
    answers(sys.executable, "-c", code)
