"""Time from image tensor to class mask: Segport's `cpu` mask file beside what others run.

    python benchmarks/masks.py
    python benchmarks/masks.py --networks deeplabv3_mobilenet --rounds 40

The six DeepLab networks at 513 x 513, the two MobileNets with their real weights, the others with
seeded random ones, which changes no time but that of the mask head: noise is its worst case.
All run in turns in one process on an idle machine, the same image for all, each twice of which the
second run counts; medians. torch, whose threads go on spinning, comes when the others are done.
Each peer once with numpy's argmax behind its logits and once with ArgMax in its graph. Needs
../shared and the extras `bench` and `openvino`.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnxruntime.quantization import QuantType, quantize_static
from openvino import Core
from tabulate import tabulate

from benchmarks.common import PROTOCOL, SHARED, VOC, empty_cache, quiet_libraries, write_json
from benchmarks.readers import Reader
from export.artifact import INPUT_NAME, Artifact, Sample
from export.network import load_network
from export.onnx_export import export_model
from export.sessions import cpu_facts, open_session, threads
from export.versions import versions
from quantize.quantization import Settings, quantize
from validate.datasets import open_dataset
from validate.samples import Preparation, Samples

os.environ["NNCF_CI"] = "1"  # else it reports its use over the network
import nncf

BACKBONES = ("mobilenet", "resnet50", "resnet101")
NETWORKS = [f"{head}_{body}" for head in ("deeplabv3", "deeplabv3plus") for body in BACKBONES]
SEGPORT = "segport cpu"
Run = Callable[[NDArray[np.float32]], NDArray[Any]]
"""Image tensor to the class of every pixel."""


def weights_of(network: str) -> str:
    """Return the real checkpoint where there is one."""
    found = SHARED / "checkpoints" / f"{network}_voc_os16.pth"
    return str(found) if found.exists() else "random"


def with_argmax(source: Path) -> Path:
    """Append a plain ArgMax to the logits, as a user would."""
    model = onnx.load(source)
    logits = model.graph.output[0].name
    shape = [d.dim_value for d in model.graph.output[0].type.tensor_type.shape.dim]
    model.graph.node.append(helper.make_node("ArgMax", [logits], ["best"], axis=1, keepdims=0))
    model.graph.node.append(helper.make_node("Cast", ["best"], ["mask"], to=TensorProto.UINT8))
    del model.graph.output[:]
    wanted = [shape[0], *shape[2:]]
    model.graph.output.append(helper.make_tensor_value_info("mask", TensorProto.UINT8, wanted))
    target = source.with_name(f"{source.stem}-argmax.onnx")
    onnx.save(model, target)
    return target


def in_onnxruntime(path: Path) -> Run:
    """Run a file that gives logits or a mask in onnxruntime, as a user does who sets nothing."""
    session = open_session(path)
    return lambda image: _classes(session.run(None, {INPUT_NAME: image})[0])


def in_openvino(path: Path) -> Run:
    """The same in OpenVINO, with its own defaults (bfloat16 where the CPU has it)."""
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": str(threads())}
    request = Core().compile_model(str(path), "CPU", settings).create_infer_request()
    return lambda image: _classes(request.infer([image])[0])


def in_torch(network: str, compiled: bool) -> Run:
    """The torch network with its own argmax."""
    module = load_network(
        network, weights_of(network), classes=21, output_stride=16, seed=0
    ).module.eval()

    def classes(image: torch.Tensor) -> torch.Tensor:
        return module(image).argmax(1).to(torch.uint8)

    call = torch.compile(classes) if compiled else classes

    def run(image: NDArray[np.float32]) -> NDArray[Any]:
        with torch.inference_mode():
            return np.asarray(call(torch.from_numpy(image)))

    return run


def _classes(found: NDArray[Any]) -> NDArray[Any]:
    return np.argmax(found, axis=1) if found.ndim == 4 else found


def peers(
    network: str, fp32: Artifact, samples: list[Sample], folder: Path
) -> Iterator[tuple[str, Run]]:
    """Yield all others by name: quantizer, runtime, where the argmax is."""
    u8s8 = folder / "ort-u8s8.onnx"
    options = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    quantize_static(fp32.path, u8s8, Reader(samples), per_channel=True, **options)
    defaults = folder / "ort-defaults.onnx"
    quantize_static(fp32.path, defaults, Reader(samples))
    by_nncf = folder / "nncf.onnx"
    dataset = nncf.Dataset(samples, lambda sample: {INPUT_NAME: sample.image})
    onnx.save(nncf.quantize(onnx.load(fp32.path), dataset, subset_size=len(samples)), by_nncf)
    files = {
        "onnxruntime u8s8 per-channel": (u8s8, in_onnxruntime),
        "onnxruntime defaults": (defaults, in_onnxruntime),
        "nncf in openvino": (by_nncf, in_openvino),
        "nncf in onnxruntime": (by_nncf, in_onnxruntime),
        "openvino fp32": (fp32.path, in_openvino),
        "onnxruntime fp32": (fp32.path, in_onnxruntime),
    }
    for name, (path, opened) in files.items():
        yield f"{name} + numpy", opened(path)
        yield f"{name} + ArgMax", opened(with_argmax(path))


def measure(
    runs: dict[str, Run], images: list[NDArray[np.float32]], rounds: int
) -> dict[str, float]:
    """Return the median of each in ms; three rounds to warm up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for done in range(3 + rounds):
        image = images[done % len(images)]
        for name, run in runs.items():
            run(image)  # the caches are those of the one before
            start = time.perf_counter()
            run(image)
            if done >= 3:
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: median(found) for name, found in times.items()}


def one(network: str, options: argparse.Namespace) -> dict[str, float]:
    """Make the files of one network and measure everything."""
    folder = options.out / network
    folder.mkdir(parents=True, exist_ok=True)
    exported = {
        output: export_model(network, weights_of(network), folder, output_stride=16, output=output)
        for output in ("logits", "mask")
    }
    preparation = Preparation.for_artifact(exported["mask"].manifest, PROTOCOL)
    drawn = open_dataset(f"{VOC}:train", "train", masks=False).sample(options.samples, 0)
    samples = list(Samples(drawn, preparation))
    with quiet_libraries(), empty_cache():
        made = quantize(
            exported["mask"], "int8", folder, samples=samples, protocol=PROTOCOL,
            settings=Settings(target="cpu"),
        )  # fmt: skip
        runs = {SEGPORT: in_onnxruntime(made.path)}
        runs |= dict(peers(network, exported["logits"], samples, folder))
        images = [sample.image for sample in samples]
        found = measure(runs, images, options.rounds)
        torches = {
            "torch eager + argmax": in_torch(network, compiled=False),
            "torch.compile + argmax": in_torch(network, compiled=True),
        }
        return found | measure(torches, images, options.rounds)


def ratios(times: dict[str, float]) -> dict[str, float]:
    """Return how many times as long as Segport's file the best of each kind of peer takes."""
    own = times[SEGPORT]
    others = {name: ms for name, ms in times.items() if name != SEGPORT}
    return {
        "best peer + numpy": min(v for k, v in others.items() if k.endswith("numpy")) / own,
        "best peer + ArgMax": min(v for k, v in others.items() if not k.endswith("numpy")) / own,
        "onnxruntime fp32 + numpy": times["onnxruntime fp32 + numpy"] / own,
    }


def main() -> None:
    """Print one table and write masks.json."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--networks", type=lambda text: text.split(","), default=NETWORKS)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--samples", type=int, default=16, help="calibration images")
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/bench"))
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    for network in options.networks:
        found[network] = one(network, options)
        print(f"{network}: {ratios(found[network])}", file=sys.stderr)
    names = next(iter(found.values()))
    rows: list[list[Any]] = [[name, *(times[name] for times in found.values())] for name in names]
    rows += [
        [f"{kind} / segport", *(ratios(times)[kind] for times in found.values())]
        for kind in ratios(next(iter(found.values())))
    ]
    print(tabulate(rows, ["image to mask, ms", *found], floatfmt=".2f"))
    facts = {"machine": cpu_facts(), "versions": versions(), "rounds": options.rounds}
    write_json(options.out / "masks.json", {**facts, "ms": found})


if __name__ == "__main__":
    main()
