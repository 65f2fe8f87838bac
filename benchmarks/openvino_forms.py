"""Time of the forms of an `openvino` file in OpenVINO, beside NNCF's file with ArgMax in its graph.

    python -m benchmarks.openvino_forms --networks deeplabv3_mobilenet,deeplabv3plus_mobilenet

Every mask head, with and without `convolve-before-resize`, float layers in OpenVINO's default
precision (bfloat16 where the CPU has it) and in float32. From image tensor to mask, in turns in
one process, medians in ms over VOC images. "agrees %" is with fp32, "int8 %" the share of MACs,
"adds" the Adds that no convolution has taken in. NNCF's file is taken from OUT where
`quantizers.py` has left one. Needs ../shared and an idle machine.
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
from tabulate import tabulate

from benchmarks.common import NETWORKS, Run, calibration, facts, fp32, parser, write_json
from benchmarks.masks import measure
from benchmarks.quantizers import file_of
from benchmarks.runs import with_argmax
from export.artifact.artifact import Artifact
from export.mask_head.heads import with_head
from export.mask_head.names import PLAIN
from export.mask_head.nodes import PREFIX
from export.ort.inspection import macs_share
from export.ort.sessions import threads
from quantize.quantization import quantize
from quantize.settings import Settings
from validate.runtime.openvino_cpu import int8_layers

CALIBRATED = 16
HINTS: dict[str, dict[str, str]] = {"default": {}, "f32": {"INFERENCE_PRECISION_HINT": "f32"}}
REWRITE = "convolve-before-resize"


def forms(source: Artifact, folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield files that give a mask, by what was done to them."""
    samples = calibration(source.manifest, CALIBRATED)
    for name, skipped in ((REWRITE, ()), ("as exported", (REWRITE,))):
        settings = Settings(target="openvino", skipped=skipped)
        made = quantize(source, "int8", folder / name, samples=samples, settings=settings)
        plain = with_argmax(made.path)
        yield f"{name}, {PLAIN}", plain
        for choice in ("channels-last", "cells-or-plain"):
            if ended := with_head(onnx.load(plain), choice):
                target = plain.with_name(f"{ended[1]}.onnx")
                onnx.save(ended[0], target)
                yield f"{name}, {ended[1]}", target
    if (file := file_of("nncf", folder)).exists():
        yield "nncf", with_argmax(file)


def opened(path: Path, hint: str) -> tuple[Run, Any]:
    """Compile a file; what runs it, and OpenVINO's compiled model."""
    from openvino import Core

    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": str(threads())}
    compiled = Core().compile_model(str(path), "CPU", settings | HINTS[hint])
    request = compiled.create_infer_request()
    return lambda image: np.array(request.infer([image])[0]), compiled


def own_adds(file: Path, compiled: Any) -> int:
    """Return how many of a network's Adds have a kernel of their own."""
    nodes = onnx.load(file).graph.node
    adds = {n.name for n in nodes if n.op_type == "Add" and not n.name.startswith(PREFIX)}
    kinds = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
    alone = [k for k in kinds if k["layerType"].astype(str) in ("Eltwise", "Subgraph")]
    return len(adds & {k["originalLayersNames"].astype(str).split(",")[0] for k in alone})


def rows(network: str, folder: Path, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Make, judge and time all forms of one network."""
    source = fp32(network, folder)
    images = [sample.image for sample in calibration(source.manifest, 8)]
    exact = opened(with_argmax(source.path), "f32")[0]
    wanted = [exact(image) for image in images]
    runs, found = dict[str, Run](), list[dict[str, Any]]()
    for name, file in forms(source, folder):
        for hint in HINTS:
            run, compiled = opened(file, hint)
            runs[f"{name}, {hint}"] = run
            same = [np.mean(run(i) == mask) for i, mask in zip(images, wanted, strict=True)]
            shape = (1, 3, *source.manifest.size)
            share = macs_share(file, shape, set(int8_layers(compiled)))
            found.append(
                {
                    "network": network,
                    "form": name,
                    "float layers in": hint,
                    "agrees %": 100 * float(np.mean(same)),
                    "int8 %": 100 * share,
                    "adds": own_adds(file, compiled),
                }
            )
    times = measure(runs, images, rounds, seconds)
    return [{**row, "ms": median(ms)} for row, ms in zip(found, times.values(), strict=True)]


def main() -> None:
    """Print the table and write openvino_forms.json."""
    arguments = parser(str(__doc__), NETWORKS)
    arguments.add_argument("--rounds", type=int, default=30)
    arguments.add_argument("--seconds", type=float, default=60, help="fewer rounds after this time")
    options = arguments.parse_args()
    made: list[dict[str, Any]] = []
    for network in options.networks:
        (options.out / network).mkdir(parents=True, exist_ok=True)
        made += rows(network, options.out / network, options.rounds, options.seconds)
        write_json(options.out / "openvino_forms.json", facts(rows=made))
    print(tabulate(made, "keys", floatfmt=".2f"))


if __name__ == "__main__":
    main()
