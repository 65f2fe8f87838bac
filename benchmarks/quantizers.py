"""Make the int8 files of all quantizers: time, peak memory, size, share of MACs in int8.

    python benchmarks/quantizers.py
    python benchmarks/quantizers.py --networks espnetv2 --samples 16

All quantizers get the same fp32 network (Segport its mask file, the others the one with logits)
and the same calibration images, decoded as they ask for them, each in a process of its own. The
files stay in OUT/NETWORK for masks.py and scores.py. Networks with random weights have fewer
images: nothing that their files predict is compared. Needs ../shared, the extra `bench` and an
idle machine.
"""

from pathlib import Path
from statistics import median
from typing import Any

from tabulate import tabulate

from benchmarks.child import Made, quantize_apart
from benchmarks.common import TRAINED, facts, fp32, parser, slug, write_json
from benchmarks.peers import MAIN, OTHERS, QUANTIZERS
from export.ort.inspection import inspect


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


def main() -> None:
    """Print one table per network and write quantizers.json."""
    arguments = parser(str(__doc__))
    arguments.add_argument("--samples", type=int, default=64, help="calibration images")
    arguments.add_argument("--rounds", type=int, default=1, help="times every file is made")
    arguments.add_argument(
        "--random-samples", type=int, default=8, help="the same for networks with random weights"
    )
    options = arguments.parse_args()
    networks: dict[str, Any] = {}
    found = facts(rounds=options.rounds, networks=networks)
    for network in options.networks:
        folder = options.out / network
        folder.mkdir(parents=True, exist_ok=True)
        size = fp32(network, folder).path.stat().st_size / 1e6
        samples = options.samples if network in TRAINED else options.random_samples
        made = make(network, folder, samples, options.rounds)
        networks[network] = {"fp32_megabytes": size, "samples": samples, "files": made}
        write_json(options.out / "quantizers.json", found)
        print(f"\n{network}, {samples} images")
        print(tabulate([{"quantizer": name, **row} for name, row in made.items()], "keys"))


if __name__ == "__main__":
    main()
