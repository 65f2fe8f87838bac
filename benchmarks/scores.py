"""Judge the files that quantizers.py left in OUT: mIoU, drop and agreement with fp32.

    python benchmarks/quantizers.py --networks espnetv2
    python benchmarks/scores.py --networks espnetv2 --images 50

Every file on the runtime it is for, NNCF's on both, the same images for all. Networks with random
weights are not judged: their classes hang by a thread. No times are taken. Needs ../shared and
the extra `bench`.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks.common import (
    PROTOCOL,
    TRAINED,
    Run,
    facts,
    fp32,
    judge,
    parser,
    validation,
    write_json,
)
from benchmarks.peers import OTHERS, PEERS, SEGPORT, Way
from benchmarks.quantizers import file_of
from benchmarks.runs import in_onnxruntime, with_argmax
from validate.samples.samples import Preparation

WAYS = {SEGPORT: Way(SEGPORT, in_onnxruntime), **PEERS}
WAYS |= {name: Way(name, in_onnxruntime) for name in OTHERS}


def opened(network: str, folder: Path) -> dict[str, Run]:
    """Open every file that there is, with the class of every pixel as its output."""
    source = fp32(network, folder).path
    paths = {n: file_of(w.quantizer, folder) if w.quantizer else source for n, w in WAYS.items()}
    return {n: WAYS[n].opened(with_argmax(path)) for n, path in paths.items() if path.exists()}


def main() -> None:
    """Print one table per network and write scores.json."""
    arguments = parser(str(__doc__), TRAINED)
    arguments.add_argument("--images", type=int, help="the first so many of VOC val; default all")
    options = arguments.parse_args()
    images = validation(options.images)
    networks: dict[str, Any] = {}
    found = facts(images=len(images.items), networks=networks)
    for network in options.networks:
        folder = options.out / network
        preparation = Preparation.for_artifact(fp32(network, folder).manifest, PROTOCOL)
        scores = judge(opened(network, folder), images, preparation)
        networks[network] = {name: asdict(score) for name, score in scores.items()}
        write_json(options.out / "scores.json", found)
        print(f"\n{network}")
        print(tabulate([{"run": n, **row} for n, row in networks[network].items()], "keys"))


if __name__ == "__main__":
    main()
