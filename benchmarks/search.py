"""Search for an int8 file within a budget, against NNCF's quantization with accuracy control.

    python benchmarks/search.py
    python benchmarks/search.py --networks espnetv2 --agreement 98.5

Both get the same fp32 network with logits, calibration images and images that judge, and the same
budget: the percent of these images' pixels that are as in fp32. NNCF is asked through its own
`validation_fn`, with everything else at its defaults, and is stopped after --limit seconds. What
comes out is judged on VOC val. Needs ../shared, the extra `bench` and an idle machine.
"""

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto
from tabulate import tabulate

from benchmarks.common import (
    FP32,
    PROTOCOL,
    TRAINED,
    VOC,
    facts,
    fp32,
    judge,
    parser,
    quiet_libraries,
    validation,
    write_json,
)
from benchmarks.runs import in_onnxruntime
from export.artifact.artifact import Artifact, load_artifact
from export.artifact.manifest import INPUT_NAME
from export.artifact.sample import Sample
from export.onnx_graph.graph import with_input_shape
from export.onnx_graph.onnx_cost import graph_cost
from export.ort.sessions import open_session
from quantize.graph.qdq_graph import QdqGraph
from validate.data.datasets import open_dataset
from validate.data.items import Dataset
from validate.samples.samples import Preparation, Samples

os.environ["NNCF_CI"] = "1"  # else it reports its use over the network, in the time measured
SEED = 0


def images(calibration: int, judging: int) -> tuple[Dataset, Dataset]:
    """Return images of VOC train that calibrate and others that judge."""
    every = open_dataset(f"{VOC}:train", "train", masks=False)
    first = every.sample(calibration, SEED)
    used = {item.image for item in first.items}
    others = tuple(item for item in every.items if item.image not in used)
    return first, replace(every, items=others).sample(judging, SEED)


def segport(source: Path, target: Path, counts: tuple[int, int], agreement: float) -> None:
    """Write Segport's file for `cpu`, as `segport quantize --min-agreement` makes it."""
    from quantize.quantization import quantize
    from quantize.search.budget import SearchBudget
    from quantize.search.clock import MINUTES
    from quantize.search.search import Search
    from quantize.settings import Settings
    from segport.scoring import Agreement, session_times

    artifact = load_artifact(source)
    preparation = Preparation.for_artifact(artifact.manifest, PROTOCOL)
    calibration, judges = images(*counts)
    score = Agreement(artifact, judges, preparation)
    image = preparation.sample(judges.items[0]).image
    search = Search(
        SearchBudget("min_agreement", agreement),
        score,
        lambda: score.images,
        lambda models: session_times(artifact, image, models),
        MINUTES,
    )
    made = quantize(
        artifact, "int8", target.parent / "made",
        samples=Samples(calibration, preparation),
        settings=Settings(target="cpu"), search=search,
    )  # fmt: skip
    made.path.replace(target)


def nncf(source: Path, target: Path, counts: tuple[int, int], agreement: float) -> None:
    """Write NNCF's file for the same budget."""
    import nncf

    artifact = load_artifact(source)
    preparation = Preparation.for_artifact(artifact.manifest, PROTOCOL)
    calibration, judges = (Samples(found, preparation) for found in images(*counts))
    wanted: dict[str, Any] = {}

    def classes(model: ModelProto, samples: Iterable[Sample]) -> dict[str, Any]:
        session = open_session(model.SerializeToString())
        runs = ((one.id, session.run(None, {INPUT_NAME: one.image})[0]) for one in samples)
        return {id: np.argmax(found, axis=1) for id, found in runs}

    def agreeing(model: ModelProto, samples: Iterable[Any]) -> tuple[float, list[float]]:
        if not wanted:  # the first is fp32
            wanted.update(classes(model, judges))
        found = classes(model, samples)
        each = [float(np.mean(found[id] == wanted[id])) for id in found]
        return float(np.mean(each)), each

    found = nncf.quantize_with_accuracy_control(
        onnx.load(source),
        nncf.Dataset(calibration, lambda sample: {INPUT_NAME: sample.image}),
        nncf.Dataset(judges),
        agreeing,
        max_drop=1 - agreement / 100,
        subset_size=counts[0],
    )
    onnx.save(found, target)


QUANTIZERS: dict[str, Callable[[Path, Path, tuple[int, int], float], None]] = {
    "segport cpu": segport,
    "nncf accuracy control": nncf,
}


def _apart(name: str, arguments: tuple[Any, ...], answers: Any) -> None:
    with quiet_libraries(), tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache  # no statistics of an earlier run
        begun = time.monotonic()
        try:
            QUANTIZERS[name](*arguments)
        except Exception as error:
            answers.put((None, f"{type(error).__name__}: {error}"))
        else:
            answers.put((time.monotonic() - begun, None))


def make(name: str, arguments: tuple[Any, ...], limit: float) -> dict[str, Any]:
    """Let a quantizer make its file in a process of its own, stopped after `limit` seconds."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=_apart, args=(name, arguments, answers))
    process.start()
    process.join(limit)
    if process.is_alive():
        process.terminate()
        process.join()
        return {"seconds": None, "error": f"stopped after {limit:.0f} s"}
    if answers.empty():
        return {"seconds": None, "error": f"ended with {process.exitcode}"}
    seconds, error = answers.get()
    return {"seconds": seconds, "error": error}


def macs_in_int8(file: Path, source: Artifact) -> float:
    """Return the percentage of fp32's MACs in layers whose weights the file has as integers."""
    shape = (1, 3, *source.manifest.size)
    cost = graph_cost(with_input_shape(onnx.load(source.path), shape))
    quantized = {weight.layer for weight in QdqGraph(onnx.load(file)).weights()}
    return 100 * sum(node.macs for node in cost.nodes if node.name in quantized) / cost.macs


def main() -> None:
    """Print the table and write search.json."""
    arguments = parser(str(__doc__), TRAINED)
    arguments.set_defaults(networks=["deeplabv3_mobilenet"])
    arguments.add_argument("--agreement", type=float, default=99.6, help="percent of pixels")
    arguments.add_argument("--samples", type=int, default=16, help="calibration images")
    arguments.add_argument("--judges", type=int, default=64, help="images that judge candidates")
    arguments.add_argument("--images", type=int, default=50, help="validation images")
    arguments.add_argument("--limit", type=float, default=1800.0, help="seconds for each file")
    options = arguments.parse_args()
    settings = {
        name: getattr(options, name) for name in ("agreement", "samples", "judges", "images")
    }
    rows: list[dict[str, Any]] = []
    for network in options.networks:
        folder = options.out / network
        folder.mkdir(parents=True, exist_ok=True)
        source = fp32(network, folder)
        dataset = validation(options.images)
        preparation = Preparation.for_artifact(source.manifest, PROTOCOL)
        for name in QUANTIZERS:
            file = folder / f"search-{name.split()[0]}.onnx"
            given = (source.path, file, (options.samples, options.judges), options.agreement)
            found = make(name, given, options.limit)
            if found["error"] is None:
                runs = {FP32: in_onnxruntime(source.path), name: in_onnxruntime(file)}
                score = judge(runs, dataset, preparation)[name]
                found |= {
                    "int8_macs": macs_in_int8(file, source),
                    "agreement": score.agreement,
                    "drop": score.drop,
                }
            rows.append({"network": network, "quantizer": name, **found})
            write_json(options.out / "search.json", facts(**settings, rows=rows))
            print(rows[-1], file=sys.stderr)
    print(tabulate(rows, "keys", floatfmt=".2f"))


if __name__ == "__main__":
    main()
