"""Compare the methods and range rules of Segport's int8, to justify the defaults of its targets.

    python benchmarks/methods.py
    python benchmarks/methods.py --networks espnetv2 --images 50 --adaround

Every row is a choice of options of `segport quantize`; the first of a target has none, so that
it is what a user gets. A row reuses the calibration statistics of those before it, which makes
its seconds fewer than those of a first run. Needs ../shared.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any
from unittest import mock

from tabulate import tabulate

from benchmarks.common import (
    FP32,
    PROTOCOL,
    TRAINED,
    calibration,
    facts,
    fp32,
    judge,
    parser,
    quiet_libraries,
    slug,
    validation,
    write_json,
)
from benchmarks.runs import in_onnxruntime
from export.artifact.artifact import Artifact
from export.common.errors import SegportError
from quantize.quantization import quantize
from quantize.ranges.ranges import DEFAULT_RANGE
from quantize.settings import Settings
from validate.data.datasets import Dataset
from validate.samples.samples import Preparation

RANGES = ("minmax", "moving-average", "percentile", "percentile:99.9", "entropy", "mse")

_cpu = partial(Settings, target="cpu")
_npu = partial(Settings, target="npu")
VARIANTS = (
    _cpu(),
    _cpu(skipped=("gptq",)),
    _cpu(added=("correct-bias",)),
    *(_cpu(range=rule) for rule in RANGES if rule != DEFAULT_RANGE),
    _npu(),
    _npu(skipped=("equalize",)),
    _npu(skipped=("gptq",)),
    _npu(skipped=("equalize", "gptq")),
    _npu(added=("absorb-bias",)),
    _npu(added=("correct-bias",)),
    Settings(target="npu-pow2"),
)
ADAROUND = _cpu(added=("adaround",))


def label(settings: Settings) -> str:
    """Return the options of `segport quantize` that stand for `settings`."""
    options = [f"--target {settings.target}"]
    options += [f"--range {settings.range}"] if settings.range else []
    options += [f"--with {name}" for name in settings.added]
    options += [f"--skip {name}" for name in settings.skipped]
    return " ".join(options)


@contextmanager
def empty_cache() -> Iterator[None]:
    """Let Segport keep its calibration statistics in a new folder, which goes away in the end."""
    with (
        tempfile.TemporaryDirectory(prefix="segport-") as folder,
        mock.patch.dict(os.environ, XDG_CACHE_HOME=folder),
    ):
        yield


def rows_of(
    source: Artifact, variants: Sequence[Settings], count: int, images: Dataset
) -> list[dict[str, Any]]:
    """Quantize and judge every variant; one that cannot be made is left with its error."""
    # decoded once: what differs is to be the method
    samples = list(calibration(source.manifest, count))
    rows: list[dict[str, Any]] = []
    runs = {FP32: in_onnxruntime(source.path)}
    for settings in variants:
        name = label(settings)
        folder = source.path.parent / slug(name)
        folder.mkdir(exist_ok=True)
        start = time.perf_counter()
        try:
            with quiet_libraries():
                made = quantize(source, "int8", folder, samples=samples, settings=settings)
        except SegportError as error:
            rows.append({"variant": name, "seconds": None, "error": str(error)})
            continue
        rows.append({"variant": name, "seconds": time.perf_counter() - start, "error": None})
        runs[name] = in_onnxruntime(made.path)
    scores = judge(runs, images, Preparation.for_artifact(source.manifest, PROTOCOL))
    return [row | (asdict(scores[n]) if (n := row["variant"]) in scores else {}) for row in rows]


def main() -> None:
    """Print one table per network and write methods.json."""
    arguments = parser(str(__doc__), TRAINED)
    arguments.add_argument("--samples", type=int, default=64, help="calibration images")
    arguments.add_argument("--images", type=int, help="judge on the first so many of VOC val")
    arguments.add_argument("--adaround", action="store_true", help="adaround too; slow")
    options = arguments.parse_args()
    variants = (*VARIANTS, ADAROUND) if options.adaround else VARIANTS
    images = validation(options.images)
    networks: dict[str, Any] = {}
    found = facts(images=len(images.items), samples=options.samples, networks=networks)
    for network in options.networks:
        folder = options.out / network
        folder.mkdir(parents=True, exist_ok=True)
        with empty_cache():
            networks[network] = rows_of(fp32(network, folder), variants, options.samples, images)
        write_json(options.out / "methods.json", found)
        print(f"\n{network}")
        print(tabulate(networks[network], "keys", floatfmt=".2f"))


if __name__ == "__main__":
    main()
