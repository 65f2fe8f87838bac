"""Compare the methods and range rules of Segport's int8, to justify the defaults of its targets.

    python benchmarks/methods.py
    python benchmarks/methods.py --networks espnetv2 --images 50 --adaround

Every row is a choice of options of `segport quantize`; the first of a target has none, so that
it is what a user gets. A row reuses the calibration statistics of those before it, which makes
its seconds fewer than those of a first run. Needs ../shared.
"""

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from tabulate import tabulate

from benchmarks.common import (
    FP32,
    Case,
    Made,
    cases,
    empty_cache,
    judge,
    make_all,
    open_files,
    parser,
    segport,
    write_json,
)
from export.sessions import cpu_facts
from export.versions import versions
from quantize.quantization import Settings
from quantize.ranges.ranges import DEFAULT_RANGE

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


@dataclass(frozen=True)
class Row:
    """One variant; percent, and seconds for quantizing."""

    variant: str
    drop: float
    agreement: float
    seconds: float | None


HEADERS = {
    "variant": "variant",
    "drop": "drop",
    "agreement": "agreement %",
    "seconds": "seconds",
}
FORMATS = ("", "+.2f", ".2f", ".1f")


def label(settings: Settings) -> str:
    """Return the options of `segport quantize` that stand for `settings`."""
    options = [f"--target {settings.target}"]
    options += [f"--range {settings.range}"] if settings.range else []
    options += [f"--with {name}" for name in settings.added]
    options += [f"--skip {name}" for name in settings.skipped]
    return " ".join(options)


def measure(case: Case, made: dict[str, Made]) -> tuple[float, list[Row]]:
    """Return the mIoU of the fp32 file and a row for every variant's."""
    files = {name: result.file for name, result in made.items() if result.error is None}
    scores = judge(case, open_files(case, files))
    rows = [
        Row(name, scores[name].drop, scores[name].agreement, made[name].median_seconds)
        for name in files
    ]
    return scores[FP32].miou, rows


def main() -> None:
    """Print one table per network and write methods.json."""
    arguments = parser(str(__doc__).splitlines()[0])
    arguments.add_argument("--adaround", action="store_true", help="adaround too; slow")
    options = arguments.parse_args()
    variants = (*VARIANTS, ADAROUND) if options.adaround else VARIANTS
    quantizers = {label(settings): segport(settings) for settings in variants}
    networks: dict[str, Any] = {}
    facts = {
        "machine": cpu_facts(),
        "versions": versions(),
        "images": options.images,
        "samples": options.samples,
        "networks": networks,
    }
    for name, case, folder in cases(options):
        with empty_cache():
            made = make_all(case, quantizers, folder)
        fp32, found = measure(case, made)
        rows = [asdict(row) for row in found]
        failed = {variant: result.error for variant, result in made.items() if result.error}
        networks[name] = {"fp32_miou": fp32, "rows": rows, "failed": failed}
        write_json(options.out / "methods.json", facts)
        print(f"\n{name}: fp32 mIoU {fp32:.2f} %, {len(case.validation.items)} images,", end=" ")
        print(f"{len(case.samples)} for calibration")
        print(tabulate(rows, HEADERS, floatfmt=FORMATS))
        for variant, error in failed.items():
            print(f"{variant}: {error}")


if __name__ == "__main__":
    main()
