"""`segport models --markdown`, read back and compared with figures from outside this code."""

import json
from pathlib import Path

import pytest

from tests.markdown import table
from tests.segport.command import segport

# torchvision 0.29's documentation: parameters, GMACs at 520x520, mIoU on COCO val2017, VOC classes
TORCHVISION = {
    "deeplabv3_resnet50": (42_004_074, 178.722, 66.4),
    "deeplabv3_resnet101": (60_996_202, 258.743, 67.4),
    "fcn_resnet50": (35_322_218, 152.717, 60.5),
    "fcn_resnet101": (54_314_346, 232.738, 63.7),
    "deeplabv3_mobilenet_v3_large": (11_029_328, 10.452, 60.3),
    "lraspp_mobilenet_v3_large": (3_221_538, 2.086, 57.9),
}
# the auxiliary classifier by hand: 3x3 convolution to a quarter of the channels with BatchNorm,
# 1x1 to 21 classes with bias; it reads 1024 (ResNet) or 40 (MobileNetV3) channels of 65x65
AUX_PARAMS = {"resnet": 1024 * 256 * 9 + 2 * 256 + 256 * 21 + 21, "deeplabv3_mobilenet": 3851}
AUX_GMACS = {
    "resnet": 65 * 65 * (1024 * 256 * 9 + 256 * 21) / 1e9,
    "deeplabv3_mobilenet": 65 * 65 * (40 * 10 * 9 + 10 * 21) / 1e9,
}
VAINF = "VainF/DeepLabV3Plus-Pytorch"


@pytest.fixture(scope="module")
def page() -> str:
    answer = segport("models", "--markdown")
    assert (answer.code, answer.errors) == (0, [])
    return answer.out


def test_title_conventions_and_two_tables(page: str) -> None:
    title, _, counted, *_ = page.splitlines()
    assert title.startswith("# ") and page.count("\n# ") == 0
    for convention in ("3x513x513", "4.5e8", "Not counted as MACs: add, ", "21 classes"):
        assert convention in counted
    assert [line[3:] for line in page.splitlines() if line.startswith("## ")] == [
        VAINF,
        "torchvision",
    ]
    assert [row["model"] for row in table(page, VAINF)] == [
        f"{head}_{backbone}"
        for head in ("deeplabv3", "deeplabv3plus")
        for backbone in ("mobilenet", "resnet50", "resnet101")
    ]
    assert [row["model"] for row in table(page, "torchvision")] == [
        f"torchvision/{name}" for name in TORCHVISION
    ]


def test_a_row_of_the_deeplab_table_as_the_source_printed_it(page: str) -> None:
    rows = {row["model"]: list(row.values())[1:] for row in table(page, VAINF)}
    assert rows["deeplabv3plus_mobilenet"] == [
        "5.226", "5.226", "16.817", "37.799", "37.799", "+0.00", "71.1", "3.589", "3.570",
    ]  # fmt: skip
    assert "3.589 and 3.570 of deeplabv3plus_mobilenet are what the source printed" in page


@pytest.mark.shared
def test_deeplab_table_against_the_published_one(page: str, shared: Path) -> None:
    # numbers are kept as text: the digits printed are the precision asked for
    document = json.loads((shared / "published.json").read_text(), parse_float=str)
    published = document["vainf_deeplab_voc"]
    rows = table(page, VAINF)
    assert {row["model"] for row in rows} == published["models"].keys()
    for row in rows:
        figures = published["models"][row["model"]]
        assert row["published params (M)"] == figures["params_m"]
        digits = len(figures["params_m"].partition(".")[2])
        assert f"{float(row['params (M)']):.{digits}f}" == figures["params_m"]
        assert row["MACs (G)"] == published["conv_macs_g"][row["model"]]
        assert row["FLOPs (THOP/4.5e8)"] == figures["flops_published"] == row["published FLOPs"]
        assert row["difference %"] == "+0.00"
        columns = ["fp32 (VOC 2012 val, center-crop)", "VACC fp16 (squash)", "VACC int8 (squash)"]
        assert [row[f"published mIoU {column}"] for column in columns] == [
            figures["miou_fp32"], figures["vacc_fp16"], figures["vacc_int8"],
        ]  # fmt: skip


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_table_against_the_published_figures(page: str, name: str) -> None:
    rows = {row["model"]: row for row in table(page, "torchvision")}
    row, (params, gmacs, miou) = rows[f"torchvision/{name}"], TORCHVISION[name]
    aux_params = next((n for key, n in AUX_PARAMS.items() if key in name), 0)
    aux_gmacs = next((n for key, n in AUX_GMACS.items() if key in name), 0.0)

    assert row["published params (M)"] == f"{params / 1e6:.3f}" == row["params with aux. (M)"]
    assert row["params (M)"] == f"{(params - aux_params) / 1e6:.3f}"
    assert row["published GMACs at 520"] == f"{gmacs:.3f}" == row["MACs at 520 with aux. (G)"]
    # half a unit of the published last digit, and as much again for our own rounding
    assert float(row["MACs at 520 (G)"]) == pytest.approx(gmacs - aux_gmacs, abs=0.001)
    assert float(row["MACs at 513 (G)"]) < float(row["MACs at 520 (G)"])
    # the published figure has three decimals: 0.0005 of LR-ASPP's 2.086 are 0.024 %
    rounding = 100 * 0.0005 / gmacs + 0.005
    assert float(row["difference %"]) == pytest.approx(-100 * aux_gmacs / gmacs, abs=rounding)
    assert abs(float(row["difference with aux. %"])) <= rounding
    assert row["published mIoU (COCO val2017, VOC classes)"] == f"{miou:.1f}"


def test_largest_differences_are_those_of_the_auxiliary_classifier(page: str) -> None:
    rows = {row["model"].split("/")[1]: row for row in table(page, "torchvision")}
    # 9.991 GMACs of 152.717 and of 178.722
    assert rows["fcn_resnet50"]["difference %"] == "-6.54"
    assert rows["deeplabv3_resnet50"]["difference %"] == "-5.59"
    assert rows["lraspp_mobilenet_v3_large"]["difference %"] == "+0.01"


def test_the_committed_page_is_this_one(page: str) -> None:
    committed = Path(__file__).resolve().parents[2] / "reports/zoo.md"
    assert committed.read_text() == page, "make reports renews it"


def test_markdown_and_json_exclude_each_other() -> None:
    answer = segport("models", "--markdown", "--json")
    assert (answer.code, answer.out) == (2, "")
    (line,) = answer.err.splitlines()
    assert "--json and --markdown exclude each other" in line
