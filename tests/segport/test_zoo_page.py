"""`segport models --markdown`; its figures are held against the published in test_zoo.py."""

from pathlib import Path

import pytest

from tests.markdown import table
from tests.segport.command import segport

TORCHVISION = (
    "deeplabv3_resnet50", "deeplabv3_resnet101", "fcn_resnet50", "fcn_resnet101",
    "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large",
)  # fmt: skip
pytestmark = pytest.mark.slow  # all networks are counted

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
