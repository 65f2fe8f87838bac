"""`segport models --markdown`: what we count beside what the networks' sources published."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from export.networks.zoo import TORCHVISION, VAINF
from validate.result.cells import markdown_table, number

Row = Mapping[str, Any]
Column = Callable[[Row], str]

_TITLE = "# The zoo: what we count beside what was published"

_VAINF_NOTE = """\
The published mIoU columns must not be subtracted from each other: fp32 was measured on centre
crops, VACC (an accelerator) on squashed images, so the difference is not what the precision cost.
3.589 and 3.570 of deeplabv3plus_mobilenet are what the source printed: the network collapsed on
the accelerator."""

_TORCHVISION_NOTE = """\
torchvision publishes parameters and GMACs (at 520x520) of the network with its auxiliary
classifier, which serves training only and is not exported; LR-ASPP has none. The columns "with
aux." count that whole network: its parameters are the published ones exactly, its MACs are the
published ones to the digits printed. "difference %" is of the network as exported."""


def _giga(key: str) -> Column:
    return lambda row: number(row[key] / 1e9, 3)


def _mega(key: str) -> Column:
    return lambda row: number(row[key] / 1e6, 3)


def _printed(key: str, digits: int) -> Column:
    return lambda row: number(row[key], digits)


def _above(count: Callable[[Row], float], published: str) -> Column:
    """The count's excess over the published figure, in percent."""
    return lambda row: number(100 * (count(row) / row[published] - 1), 2, sign=True)


_VAINF_COLUMNS: dict[str, Column] = {
    "model": lambda row: str(row["model"]),
    "params (M)": _mega("params"),
    # as printed: one of them has two decimals
    "published params (M)": lambda row: str(row["published_params_m"]),
    "MACs (G)": _giga("macs"),
    "FLOPs (THOP/4.5e8)": _printed("flops_published_rule", 3),
    "published FLOPs": _printed("published_flops", 3),
    "difference %": _above(lambda row: row["flops_published_rule"], "published_flops"),
    "published mIoU fp32 (VOC 2012 val, center-crop)": _printed("published_miou", 1),
    "published mIoU VACC fp16 (squash)": _printed("published_vacc_fp16", 3),
    "published mIoU VACC int8 (squash)": _printed("published_vacc_int8", 3),
}

_TORCHVISION_COLUMNS: dict[str, Column] = {
    "model": lambda row: str(row["model"]),
    "params (M)": _mega("params"),
    "params with aux. (M)": _mega("whole_params"),
    "published params (M)": _printed("published_params_m", 3),
    "MACs at 513 (G)": _giga("macs"),
    "MACs at 520 (G)": _giga("macs_at_published_size"),
    "MACs at 520 with aux. (G)": _giga("whole_macs"),
    "published GMACs at 520": _printed("published_flops", 3),
    "difference %": _above(lambda row: row["macs_at_published_size"] / 1e9, "published_flops"),
    "difference with aux. %": _above(lambda row: row["whole_macs"] / 1e9, "published_flops"),
    "published mIoU (COCO val2017, VOC classes)": _printed("published_miou", 1),
}

_SECTIONS: dict[str, tuple[dict[str, Column], str]] = {
    VAINF: (_VAINF_COLUMNS, _VAINF_NOTE),
    TORCHVISION: (_TORCHVISION_COLUMNS, _TORCHVISION_NOTE),
}


def zoo_page(rows: Sequence[Row]) -> str:
    """Return the page for the rows of `zoo_comparison`: a table per source. Pure."""
    uncounted = ", ".join(sorted({name for row in rows for name in row["uncounted"]}))
    parts = [
        _TITLE,
        "Made by `segport models --markdown`. MACs are multiply-accumulates of convolutions of "
        "one 3x513x513 image (bias not counted, one MAC is one), of the network as exported, with "
        "21 classes. FLOPs (THOP/4.5e8) follow the rule of the published DeepLab table: THOP's "
        "MACs, which add 4 per BatchNorm input value and window area + 1 per output value of a "
        "global pooling, divided by 4.5e8. Differences are ours - published, in percent of the "
        f"published figure. Not counted as MACs: {uncounted}.",
    ]
    for source, (columns, note) in _SECTIONS.items():
        own = [row for row in rows if row["source"] == source]
        cells = [[cell(row) for cell in columns.values()] for row in own]
        parts += [f"## {source}", note, markdown_table(cells, list(columns))]
    return "\n\n".join(parts)
