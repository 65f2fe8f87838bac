"""Time of the forms of a mask head alone, on logits of real networks and on noise.

    python benchmarks/heads.py

"plain" is Resize, ArgMax and Cast as exported. In turns in one process, medians in ms over 16
VOC images; "mixed %" is the share of cells in which the class changes. Noise, which no network
gives, has no others: the worst case of "cells". Needs ../shared and an idle machine.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper
from tabulate import tabulate

from benchmarks.common import (
    PROTOCOL,
    TRAINED,
    VOC,
    facts,
    fp32,
    parser,
    write_json,
)
from export.mask_head.heads import HEADS, PLAIN, with_head
from export.onnx_graph.graph import dims
from export.ort.sessions import open_session, run
from validate.data.datasets import open_dataset
from validate.samples.samples import Preparation, Samples

Logits = NDArray[np.float32]


def small_logits(name: str, folder: Path) -> tuple[ModelProto, list[Logits]]:
    """Return a network's last Resize with ArgMax and Cast behind it, and what it is fed with."""
    artifact = fp32(name, folder)
    model = onnx.load(artifact.path)
    images = open_dataset(f"{VOC}:val", "val")
    preparation = Preparation.for_artifact(artifact.manifest, PROTOCOL)
    samples = Samples(images.sample(16, 0), preparation)
    resize = model.graph.node[-1]
    shapes = {v.name: dims(v) for v in [*model.graph.value_info, *model.graph.output]}
    body, size = resize.input[0], shapes[resize.output[0]]
    end = _end(model, shapes[body], size)
    del model.graph.output[:]
    model.graph.output.append(onnx.ValueInfoProto(name=body))
    session = open_session(model.SerializeToString())
    return end, [run(session, sample.image)[0] for sample in samples]


def _end(model: ModelProto, small: Sequence[int | None], size: Sequence[int | None]) -> ModelProto:
    resize = model.graph.node[-1]
    constants = [t for t in model.graph.initializer if t.name in resize.input]
    nodes = [
        resize,
        helper.make_node("ArgMax", [resize.output[0]], ["best"], axis=1, keepdims=0),
        helper.make_node("Cast", ["best"], ["mask"], to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        "head",
        [helper.make_tensor_value_info(resize.input[0], TensorProto.FLOAT, small)],
        [helper.make_tensor_value_info("mask", TensorProto.UINT8, [size[0], *size[2:]])],
        constants,
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def mixed(logits: Logits) -> float:
    """Return the percentage of cells whose corners are not all of one class."""
    best = logits[0].argmax(0)
    corners = np.stack([best[:-1, :-1], best[1:, :-1], best[:-1, 1:], best[1:, 1:]])
    return 100 * float((corners != corners[0]).any(0).mean())


def row(name: str, kind: str, end: ModelProto, fed: list[Logits]) -> dict[str, Any]:
    """Time all forms on `fed`, in turns."""
    models = {PLAIN: end} | {form: (with_head(end, form) or (end, ""))[0] for form in HEADS}
    sessions = {form: open_session(model.SerializeToString()) for form, model in models.items()}
    times: dict[str, list[float]] = {form: [] for form in sessions}
    differ = 0
    for logits in [fed[0], fed[0], *fed]:  # the first two warm up
        masks = {}
        for form, session in sessions.items():
            start = time.perf_counter()
            masks[form] = run(session, logits)[0]
            times[form].append(1000 * (time.perf_counter() - start))
        differ += int((masks["cells"] != masks[PLAIN]).sum())
    return {
        "network": name,
        "fed with": kind,
        "logits": "x".join(map(str, fed[0].shape[1:])),
        "mixed %": float(np.mean([mixed(one) for one in fed])),
        **{form: median(found[2:]) for form, found in times.items()},
        "pixels that differ": differ,
    }


def main() -> None:
    """Print the table and write heads.json."""
    options = parser(str(__doc__), TRAINED).parse_args()
    rows = []
    for name in options.networks:
        (options.out / name).mkdir(parents=True, exist_ok=True)
        end, fed = small_logits(name, options.out / name)
        rows.append(row(name, "images", end, fed))
        rng = np.random.default_rng(0)
        noise = [rng.normal(size=fed[0].shape).astype(np.float32) for _ in range(8)]
        rows.append(row(name, "noise", end, noise))
    print(tabulate(rows, "keys", floatfmt=".2f"))
    write_json(options.out / "heads.json", facts(rows=rows))


if __name__ == "__main__":
    main()
