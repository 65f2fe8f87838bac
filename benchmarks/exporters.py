"""Which networks get through the whole way, whatever exporter made their file.

    python benchmarks/exporters.py [--families unet_prelu,...] [--exporters torchscript-11,...]

Every family of `benchmarks/networks/table.py`, written by each of torch's exporters, goes through
`segport import`, `quantize` (fp16; int8 for `cpu` and `npu`), `validate` and `predict` as a user
would type them. A file that an exporter cannot write is no case. "refused" is exit code 2 with one
line, such as the self-check's; anything else than that and exit code 0 is "failed".
"""

import contextlib
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from tabulate import tabulate
from torch import nn

from benchmarks.common import VOC, bare_parser, facts, quiet_libraries, slug, write_json
from benchmarks.networks.settled import CLASSES, settled
from benchmarks.networks.table import FAMILIES, Family
from export.common.errors import first_line
from export.networks.network import load_network
from segport.cli import main as segport

EXPORTERS: dict[str, dict[str, Any]] = {
    "torchscript-11": {"dynamo": False, "opset_version": 11},
    "torchscript-13": {"dynamo": False, "opset_version": 13},
    "dynamo-18": {"dynamo": True, "opset_version": 18, "external_data": False},
}
"""Arguments of `torch.onnx.export`."""
_SAMPLES, _JUDGED = "4", "2"
_STATISTICS = ["--mean", "0.485", "0.456", "0.406", "--std", "0.229", "0.224", "0.225"]


def main() -> None:
    """Print a line per file as it is done, and a table."""
    parser = bare_parser(str(__doc__))
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--exporters", default=",".join(EXPORTERS))
    options = parser.parse_args()
    found = {}
    for name in options.families.split(","):
        for exporter in options.exporters.split(","):
            folder = options.out / "exporters" / f"{name}-{exporter}"
            steps = _way(FAMILIES[name], EXPORTERS[exporter], folder, options.out / "weights")
            found[f"{name} {exporter}"] = steps
            print(name, exporter, _summary(steps), flush=True)
    write_json(options.out / "exporters.json", facts(files=found))
    print(table(found))


def table(found: dict[str, dict[str, str]]) -> str:
    """Return a row per file: what came of each step, and why, where it did not pass."""
    rows = [[*key.split(), _summary(steps), _reason(steps)] for key, steps in found.items()]
    return tabulate(rows, headers=["family", "exporter", "steps", "why"])


def _summary(steps: dict[str, str]) -> str:
    words = [text.partition(":")[0] for text in steps.values()]
    return ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))


def _reason(steps: dict[str, str]) -> str:
    return next((f"{name}: {text}" for name, text in steps.items() if text != "passed"), "")[:160]


def _way(family: Family, how: dict[str, Any], folder: Path, weights: Path) -> dict[str, str]:
    """Return what came of every step."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "network.onnx"
    try:
        _write(family, how, file, weights)
    except Exception as error:  # an exporter raises what a network provokes
        return {"export": f"not exported: {first_line(error)[:120]}"}
    fp32 = folder / "network-fp32.onnx"
    voc = f"{VOC}:val"
    # nobody trained these networks: whether they agree well is not what is asked here
    images = ["--calibration", f"{VOC}:train", "--samples", _SAMPLES, "--force"]
    int8 = ["quantize", str(fp32), "--precision", "int8", *images, "--target"]
    steps: dict[str, Sequence[str]] = {
        "import": ["import", str(file), *_STATISTICS, "--name", "network"],
        "fp16": ["quantize", str(fp32), "--precision", "fp16"],
        "int8 cpu": [*int8, "cpu"],
        "int8 npu": [*int8, "npu"],
        "validate": ["validate", "NETWORKS", "--data", voc, "--limit", _JUDGED],
        "predict": ["predict", "LAST", str(next((VOC / "VOC2012/JPEGImages").glob("*.jpg")))],
    }
    found = {}
    for name, words in steps.items():
        made = sorted(map(str, folder.glob("network-*.onnx")))
        places = {"NETWORKS": made, "LAST": made[-1:]}
        given = [argument for word in words for argument in places.get(word, [word])]
        out = folder if words[0] in ("import", "quantize") else folder / words[0]
        found[name] = _outcome([*given, "-o", str(out)])
        if name == "import" and found[name] != "passed":
            break
    return found


def _write(family: Family, how: dict[str, Any], file: Path, folder: Path) -> None:
    weights = folder / f"{slug(family.model)}.pth"
    if not weights.exists():
        folder.mkdir(parents=True, exist_ok=True)
        settled(family.model, family.size, VOC, weights)
    network: nn.Module = load_network(family.model, str(weights), classes=CLASSES).module
    image = torch.zeros(1, 3, *family.size)
    names = {"input_names": ["image"], "output_names": ["logits"]}
    with quiet_libraries():
        torch.onnx.export(network, (image,), str(file), **names, **how)


def _outcome(words: Sequence[str], command: Callable[[], None] = segport) -> str:
    """Run a command of Segport's in this process; return what its user would have seen of it."""
    errors = io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["segport", *words]),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(errors),
    ):
        try:
            command()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        except BaseException as error:  # what main lets through is a traceback
            return f"failed: {type(error).__name__}: {first_line(error)}"
    lines = [line for line in errors.getvalue().splitlines() if line.startswith("segport: ")]
    if code == 0:
        return "passed"
    refused = code == 2 and len(lines) == 1 and "defect" not in lines[0]
    return f"{'refused' if refused else 'failed'}: {lines[-1] if lines else f'exit code {code}'}"


if __name__ == "__main__":
    main()
