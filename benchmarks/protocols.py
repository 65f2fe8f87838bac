"""How much of a published fp16 or int8 "drop" is the protocol: one checkpoint under two of them.

    segport run recipes/deeplabv3_mobilenet.toml -o runs/protocols     (about 15 minutes)
    python benchmarks/protocols.py runs/protocols -o reports/protocols.md

Reads RUN/center-crop/result.json and RUN/squash/result.json, as `segport run` and `segport
report` write them, and measures nothing itself.
"""

import sys
from argparse import ArgumentParser
from pathlib import Path

from export.common.errors import ComparisonError, SegportError
from validate.result.cells import markdown_table, number
from validate.result.result import RESULT_FILE, ArtifactResult, Result, load_result

PUBLISHED = {
    "deeplabv3_mobilenet": {"fp32": 70.1, "fp16": 67.816, "int8": 64.441},
    "deeplabv3_resnet50": {"fp32": 76.9, "fp16": 72.671, "int8": 72.33},
    "deeplabv3_resnet101": {"fp32": 77.3, "fp16": 75.289, "int8": 74.492},
    "deeplabv3plus_mobilenet": {"fp32": 71.1, "fp16": 3.589, "int8": 3.57},
    "deeplabv3plus_resnet50": {"fp32": 77.2, "fp16": 72.723, "int8": 72.032},
    "deeplabv3plus_resnet101": {"fp32": 78.3, "fp16": 75.751, "int8": 75.143},
}
"""mIoU on VOC val as VastModelZOO prints it: fp32 by `center-crop`, the others by `squash`."""

CROP, SQUASH = "center-crop", "squash"


def main() -> None:
    """Write the page to a file or to standard output."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?", default=Path("reports/deeplabv3_mobilenet"))
    parser.add_argument("-o", "--out", type=Path)
    options = parser.parse_args()
    try:
        crop, squash = (load_result(options.run / name / RESULT_FILE) for name in (CROP, SQUASH))
        text = page(crop, squash)
    except SegportError as error:
        sys.exit(f"protocols: {error}")
    if options.out:
        options.out.write_text(text)
    else:
        print(text, end="")


def page(crop: Result, squash: Result) -> str:
    """Return the page in Markdown.

    Raises ComparisonError unless the two are the same files on the same labelled images.
    """
    _refuse_others(crop, squash)
    base = _of(crop, crop.reference)
    moved = _miou(base) - _miou(_of(squash, squash.reference))
    rows = [
        [
            entry.id,
            number(entry.miou, 2),
            number(_of(squash, entry.id).miou, 2),
            _drop(entry),
            _drop(_of(squash, entry.id)),
            number(_miou(base) - _miou(_of(squash, entry.id)), 2, sign=True),
        ]
        for entry in crop.artifacts
    ]
    head = ["artifact", f"mIoU, {CROP}", f"mIoU, {SQUASH}", f"drop, {CROP}", f"drop, {SQUASH}"]
    parts = [
        "# How much of a drop is the protocol",
        f"`{crop.model}`, {crop.dataset.images} images of `{crop.dataset.name}:"
        f"{crop.dataset.split}`, the same files under two protocols. `{CROP}` is how the published "
        f"fp32 column was made, `{SQUASH}` how the published fp16 and int8 columns were made.",
        "## Measured",
        markdown_table(rows, [*head, "across protocols"]),
        "A drop is reference - artifact, in points of mIoU, under one protocol. The last column is "
        f"what a reader of the published table computes: the reference under `{CROP}` minus the "
        f"artifact under `{SQUASH}`. Segport refuses to compute it.",
        f"The reference alone, unchanged, loses {number(moved, 2)} points by going from `{CROP}` "
        f"to `{SQUASH}`: it sees other pixels, and is asked about other pixels.",
        *_published(crop, squash, moved),
        f"Made by `python benchmarks/protocols.py` from the results of `{crop.command or '-'}`.",
    ]
    return "\n\n".join(parts) + "\n"


def _published(crop: Result, squash: Result, moved: float) -> list[str]:
    if crop.model not in PUBLISHED:
        return []
    column = PUBLISHED[crop.model]
    rows = []
    for precision in ("fp16", "int8"):
        if (entry := squash.artifact(precision)) is not None:
            rows.append(
                [
                    precision,
                    number(column["fp32"] - column[precision], 2, sign=True),
                    number(moved, 2, sign=True),
                    _drop(entry),
                ]
            )
    head = ['published "drop"', "protocol (measured here)", f"precision ({SQUASH}, measured here)"]
    return [
        "## Published",
        f"For this network: fp32 {column['fp32']}, fp16 {column['fp16']}, int8 "
        f"{column['int8']}, on all 1449 images. Fewer images give other amounts, of both kinds.",
        markdown_table(rows, ["artifact", *head]),
    ]


def _refuse_others(crop: Result, squash: Result) -> None:
    for result, protocol in ((crop, CROP), (squash, SQUASH)):
        if result.protocol != protocol:
            raise ComparisonError(f"{result.name}: protocol {result.protocol}, not {protocol}")
    facts = [
        (
            r.dataset.ids_sha256,
            r.dataset.labels_sha256,
            r.reference,
            [_file(a) for a in r.artifacts],
        )
        for r in (crop, squash)
    ]
    if facts[0] != facts[1] or not crop.dataset.labelled:
        raise ComparisonError(
            f"{crop.name}: the two results are not of the same files on the same labelled images"
        )


def _drop(entry: ArtifactResult) -> str:
    """Return the drop, with its interval where the result has one."""
    drop = number(entry.drop, 2, sign=True)
    if entry.drop_ci95 is None:
        return drop
    low, high = (number(end, 2, sign=True) for end in entry.drop_ci95)
    return f"{drop} ({low} to {high})"


def _file(entry: ArtifactResult) -> tuple[str, str | None]:
    return entry.id, entry.sha256


def _of(result: Result, id: str) -> ArtifactResult:
    found = result.artifact(id)
    assert found is not None  # _refuse_others compared the lists
    return found


def _miou(entry: ArtifactResult) -> float:
    assert entry.miou is not None  # the images are labelled
    return entry.miou


if __name__ == "__main__":
    main()
