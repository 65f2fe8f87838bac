"""Make the int8 files of all quantizers, and judge them: time, memory, size, mIoU, agreement.

    python -m benchmarks.quantizers
    python -m benchmarks.quantizers --networks espnetv2 --images 50 --samples 16

All quantizers get the same fp32 network (Segport its mask file, the others the one with logits)
and the same calibration images, decoded as they ask for them, each in a process of its own. The
files stay in OUT/NETWORK for masks.py. Networks with random weights are not judged: their classes
hang by a thread. Needs ../shared and the extra `bench`.
"""

from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from tabulate import tabulate

from benchmarks.child import Made, quantize_apart
from benchmarks.common import (
    PROTOCOL,
    TRAINED,
    facts,
    fp32,
    judge,
    parser,
    slug,
    validation,
    write_json,
)
from benchmarks.peers import MAIN, OTHERS, PEERS, QUANTIZERS, SEGPORT, Way
from benchmarks.runs import in_onnxruntime, with_argmax
from export.inspection import inspect
from validate.datasets import Dataset
from validate.samples import Preparation


def file_of(quantizer: str, folder: Path) -> Path:
    """Return where the file of a quantizer is."""
    return folder / f"{slug(quantizer)}.onnx"


def make(network: str, folder: Path, samples: int, rounds: int) -> dict[str, dict[str, Any]]:
    """Let all quantizers make their files in turns, `rounds` times; the medians count."""
    names = (*MAIN, *OTHERS) if network in TRAINED else MAIN
    sources = {kind: fp32(network, folder, kind) for kind in ("logits", "mask")}
    made: dict[str, list[Made]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, results in made.items():
            source = sources[QUANTIZERS[name].source].path
            results.append(quantize_apart(name, source, file_of(name, folder), samples))
    shape = (1, 3, *sources["logits"].manifest.size)
    return {name: _facts(results, file_of(name, folder), shape) for name, results in made.items()}


def _facts(results: list[Made], file: Path, shape: tuple[int, ...]) -> dict[str, Any]:
    if errors := [one.error for one in results if one.error]:
        return {"error": errors[0]}
    return {
        "seconds": median(one.seconds or 0 for one in results),
        "peak_mb": median(one.peak_mb or 0 for one in results),
        "before_mb": median(one.before_mb or 0 for one in results),
        "megabytes": file.stat().st_size / 1e6,
        "int8_macs": 100 * inspect(file, shape).int8_macs_share,
        "error": None,
    }


def score(network: str, folder: Path, made: dict[str, Any], images: Dataset) -> dict[str, Any]:
    """Judge every file that was made, on the runtime it is for."""
    ways = {SEGPORT: Way(SEGPORT, in_onnxruntime), **PEERS}
    ways |= {name: Way(name, in_onnxruntime) for name in OTHERS}
    source = fp32(network, folder)
    runs = {
        name: way.opened(
            with_argmax(file_of(way.quantizer, folder) if way.quantizer else source.path)
        )
        for name, way in ways.items()
        if way.quantizer is None or made[way.quantizer]["error"] is None
    }
    preparation = Preparation.for_artifact(source.manifest, PROTOCOL)
    return {name: asdict(found) for name, found in judge(runs, images, preparation).items()}


def main() -> None:
    """Print one table per network and write quantizers.json."""
    arguments = parser(str(__doc__))
    arguments.add_argument("--images", type=int, help="judge on the first so many of VOC val")
    arguments.add_argument("--rounds", type=int, default=1, help="times every file is made")
    options = arguments.parse_args()
    images = validation(options.images)
    networks: dict[str, Any] = {}
    found = facts(
        images=len(images.items), samples=options.samples, rounds=options.rounds, networks=networks
    )
    for network in options.networks:
        folder = options.out / network
        folder.mkdir(parents=True, exist_ok=True)
        size = fp32(network, folder).path.stat().st_size / 1e6
        made = make(network, folder, options.samples, options.rounds)
        scores = score(network, folder, made, images) if network in TRAINED else {}
        networks[network] = {"fp32_megabytes": size, "files": made, "scores": scores}
        write_json(options.out / "quantizers.json", found)
        print(f"\n{network}")
        print(tabulate([{"quantizer": name, **row} for name, row in made.items()], "keys"))
        print(tabulate([{"run": name, **row} for name, row in scores.items()], "keys"))


if __name__ == "__main__":
    main()
