"""onnxsim against OnnxSlim and onnxscript's optimizer (onnx-ir's passes), on real networks.

    python benchmarks/simplifiers.py [-o runs/bench]

Each gets what `export.simplify` is given: the exported or imported graph, already normalised by
onnx-ir's passes. Compared are nodes, bytes, the largest difference of an output on the check
images, seconds in a process of its own, and milliseconds of a run in onnxruntime (one thread,
median). Needs ../shared, the extra `bench` and, for the times, an idle machine.
"""

import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto
from tabulate import tabulate

from benchmarks.common import ROOT, environment, facts, write_json
from export import onnx_export, onnx_import
from export.artifact.manifest import INPUT_NAME
from export.ort.parity import Outputs
from export.ort.sessions import named_outputs, open_session
from export.simplify import Simplified

_SHARED = ROOT.parent / "shared"
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
EXPORTED = ("deeplabv3_mobilenet", "deeplabv3plus_mobilenet", "deeplabv3_resnet50")
IMPORTED = ("tf_deeplabv3_mobilenetv2_voc_513", "espnetv2_s1.0_voc_384")
SIMPLIFIERS = {
    "none": "model = onnx.load(sys.argv[1])",
    "onnxsim": "sys.modules['torch'] = None; import onnxsim; "
    "model, _ = onnxsim.simplify(onnx.load(sys.argv[1]))",
    "onnxslim": "import onnxslim; model = onnxslim.slim(onnx.load(sys.argv[1]))",
    "onnxscript": "from onnxscript.optimizer import optimize; "
    "model = optimize(onnx.load(sys.argv[1]))",
}
"""Code that leaves the simpler model in `model`."""
_RUNS = 15

Given = tuple[ModelProto, list[Outputs]]


def given(folder: Path) -> dict[str, Given]:
    """Return by network what `simplify` is asked to simplify, and its check images' outputs."""
    found: dict[str, Given] = {}
    for name in EXPORTED:
        with _caught(onnx_export) as caught:
            onnx_export.export_model(name, "random", folder, size=(257, 257))
        found[name] = caught[0]
    for name in IMPORTED:
        with _caught(onnx_import) as caught:
            file = _SHARED / f"networks/{name}.onnx"
            onnx_import.import_model(file, folder, mean=_IMAGENET["mean"], std=_IMAGENET["std"])
        found[name] = caught[0]
    return found


class _caught:  # noqa: N801 - used as a function
    def __init__(self, module: Any) -> None:
        self._module, self._kept = module, module.simplify
        self._found: list[Given] = []

    def __enter__(self) -> list[Given]:
        def keep(model: ModelProto, probes: list[Outputs]) -> Simplified:
            self._found.append((model, probes))
            return Simplified(model, "a benchmark")

        self._module.simplify = keep
        return self._found

    def __exit__(self, *problem: object) -> None:
        self._module.simplify = self._kept


def measured(name: str, how: str, one: Given, folder: Path) -> dict[str, Any]:
    """Simplify one network one way."""
    model, probes = one
    source, target = folder / "source.onnx", folder / "target.onnx"
    onnx.save(model, source)
    code = f"import sys, onnx; {SIMPLIFIERS[how]}; onnx.save(model, sys.argv[2])"
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, str(source), str(target)],
        capture_output=True, text=True, env=environment(), check=False,
    )  # fmt: skip
    row: dict[str, Any] = {"network": name, "simplifier": how}
    row["seconds"] = round(time.perf_counter() - start, 2)
    if done.returncode:
        return row | {"failed": done.stderr.strip().splitlines()[-1][:120]}
    simpler = onnx.load(target)
    session = open_session(target)
    worst = 0.0
    for probe in probes:
        outputs = named_outputs(session, probe[INPUT_NAME])
        for key, wanted in probe.items():
            if key != INPUT_NAME:
                worst = max(worst, float(np.abs(outputs[key].astype(float) - wanted).max()))
    times = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        named_outputs(session, probes[0][INPUT_NAME])
        times.append(1000 * (time.perf_counter() - start))
    return row | {
        "nodes": len(simpler.graph.node),
        "bytes": target.stat().st_size,
        "difference": worst,
        "run_ms": round(median(times), 1),
    }


def main() -> None:
    """Print and write what was measured."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/bench"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        networks = given(Path(scratch))
        rows = [
            measured(name, how, one, Path(scratch))
            for name, one in networks.items()
            for how in SIMPLIFIERS
        ]
    print(tabulate(rows, headers="keys", floatfmt=".3g"))
    write_json(options.out / "simplifiers.json", facts() | {"rows": rows})


if __name__ == "__main__":
    main()
