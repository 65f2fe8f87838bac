"""The tables of the page; each function is given what the scripts wrote."""

from collections.abc import Mapping, Sequence
from typing import Any

from export.common.escaping import markdown_code
from validate.result.cells import Cell, markdown_table, number

Facts = Mapping[str, Any]

SEGPORT = "segport cpu"
NUMPY, ARGMAX = " + numpy", " + ArgMax"
REACH = {
    "best peer + numpy": (2.0, 1.15),
    "best peer + ArgMax": (1.25, 1.05),
    "onnxruntime fp32 + numpy": (4.0, 3.5),
}
"""Times as long as Segport's file: what MobileNets and ResNets are to reach."""
OF_PEAK = 35.0
"""Percent of the int8 peak that the convolutions of a ResNet-101 are to reach."""


def machines(results: Facts) -> str:
    """Name every machine that a file was measured on."""
    found = [one["machine"] for one in results.values() if "machine" in one]
    texts = [f"{one['threads']} threads of {one['cpu']} ({', '.join(one['isa'])})" for one in found]
    return "; ".join(dict.fromkeys(texts)) or "a machine that no file names"


def main_table(network: str, results: Facts) -> str:
    """Return everything that turns an image into a mask, one row each."""
    made = results["quantizers"]["networks"][network]
    scores = _scores(network, results)
    ms = results["masks"]["networks"][network]["ms"]
    names = dict.fromkeys(name.removesuffix(NUMPY).removesuffix(ARGMAX) for name in ms)
    rows = [
        [name, *_made(name, made), *_forms(name, ms), *_judged(scores.get(name))] for name in names
    ]
    head = [
        "quantizer, runtime",
        "seconds",
        "peak MB",
        "MB",
        "ms, numpy argmax",
        "ms, mask in graph",
    ]
    return markdown_table(rows, [*head, "mIoU %", "drop", "agreement %"])


def _made(name: str, made: Facts) -> list[Cell]:
    """Return seconds and peak memory of quantizing, and the size of the file."""
    if "torch" in name:
        return ["-"] * 3
    file = made["files"].get(name.split(" in ")[0])
    if file is None:
        return ["-", "-", number(made["fp32_megabytes"], 1)]
    if file["error"]:
        return [file["error"], "-", "-"]
    return [number(file["seconds"], 1), number(file["peak_mb"], 0), number(file["megabytes"], 1)]


def _forms(name: str, ms: Facts) -> list[Cell]:
    with_numpy, in_graph = ms.get(name + NUMPY), ms.get(name + ARGMAX) or ms.get(name)
    return [number(form and form["median"], 1) for form in (with_numpy, in_graph)]


def _scores(network: str, results: Facts) -> Facts:
    return dict(results.get("scores", {}).get("networks", {}).get(network, {}))


def _judged(score: Facts | None) -> list[Cell]:
    if score is None:
        return ["-"] * 3
    drop = number(score["drop"], 2, sign=True)
    return [number(score["miou"], 2), drop, number(score["agreement"], 2)]


def ratios(ms: Mapping[str, float]) -> dict[str, float]:
    """Return how many times as long as Segport's file the best of each kind of peer takes.

    torch has one form only, its own argmax, and counts as a peer with the class in its graph.
    """
    own = ms[SEGPORT]
    with_numpy = [value for name, value in ms.items() if name.endswith(NUMPY)]
    others = [v for name, v in ms.items() if name != SEGPORT and not name.endswith(NUMPY)]
    return {
        "best peer + numpy": min(with_numpy) / own,
        "best peer + ArgMax": min(others) / own,
        "onnxruntime fp32 + numpy": ms["onnxruntime fp32" + NUMPY] / own,
    }


def ratios_table(masks: Facts) -> str:
    """Return the ratios and the share of the int8 peak, and whether the targets are reached."""
    rows = []
    for network, found in masks["networks"].items():
        medians = {name: spread["median"] for name, spread in found["ms"].items()}
        resnet = "resnet" in network
        cells = [_reached(v, REACH[k][resnet], "x") for k, v in ratios(medians).items()]
        target = OF_PEAK if "resnet101" in network else None
        rows.append([network, *cells, _reached(found["int8"]["of_peak"], target, " %")])
    return markdown_table(rows, ["network", *REACH, "convolutions of the int8 peak"])


def _reached(value: float, target: float | None, unit: str) -> str:
    shown = number(value, 2 if unit == "x" else 1) + unit
    if target is None:
        return shown
    return f"{shown} ({'reaches' if value >= target else 'below'} {target:g})"


def search_table(found: Facts) -> str:
    """Return what each search for a budget came to; why it did not, where it failed."""
    rows = [
        [
            row["network"],
            row["quantizer"],
            row["error"] or number(row["seconds"], 0),
            number(row.get("int8_macs"), 1),
            number(row.get("agreement"), 2),
            number(row.get("drop"), 2, sign=True),
        ]
        for row in found["rows"]
    ]
    head = ["network", "quantizer", "seconds", "MACs in int8 %", "agreement %", "drop"]
    return markdown_table(rows, head)


def others_table(network: str, results: Facts) -> str:
    """Return every quantizer's file as it was judged in onnxruntime."""
    made = results["quantizers"]["networks"][network]
    scores = _scores(network, results)
    rows = []
    for name, file in made["files"].items():
        score = scores.get(name) or scores.get(f"{name} in onnxruntime")
        share = "-" if file["error"] else number(file["int8_macs"], 1)
        rows.append([name, *_made(name, made), *_judged(score), share])
    head = ["quantizer", "seconds", "peak MB", "MB", "mIoU %", "drop", "agreement %"]
    return markdown_table(rows, [*head, "int8 MACs %"])


def heads_table(heads: Facts) -> str:
    """Return the mask heads' times."""
    rows = [[_cell(value) for value in row.values()] for row in heads["rows"]]
    return markdown_table(rows, list(heads["rows"][0]))


def growth_table(growth: Facts) -> str:
    """Return seconds and peak memory of every quantizer by number of calibration images."""
    rows = growth["quantization"]
    counts = list(dict.fromkeys(row["images"] for row in rows))
    table: list[list[Cell]] = []
    for name in dict.fromkeys(row["quantizer"] for row in rows):
        by_count = {row["images"]: row for row in rows if row["quantizer"] == name}
        table.append([name, *(_grown(by_count.get(count)) for count in counts)])
    return markdown_table(table, ["quantizer", *(f"{count} images" for count in counts)])


def _grown(row: Facts | None) -> str:
    if row is None or row["error"]:
        return row["error"] if row else "-"
    return f"{row['seconds']:.1f} s, {row['peak_mb']:.0f} MB"


def validation_table(growth: Facts) -> str:
    """Return the seconds of `segport validate` by images and CPUs."""
    rows = growth["validation"]
    cpus = sorted({row["cpus"] for row in rows})
    found = {(row["images"], row["cpus"]): row["seconds"] for row in rows}
    table = [
        [images, *(number(found.get((images, count)), 1) for count in cpus)]
        for images in dict.fromkeys(row["images"] for row in rows)
    ]
    return markdown_table(table, ["images", *(f"{n} CPU{'s' if n > 1 else ''}, s" for n in cpus)])


def methods_table(rows: Sequence[Facts]) -> str:
    """Return every choice of options, one row each."""
    table = [
        [
            markdown_code(row["variant"]),
            row["error"] or number(row.get("drop"), 2, sign=True),
            number(row.get("agreement"), 2),
            number(row["seconds"], 1),
        ]
        for row in rows
    ]
    return markdown_table(table, ["options", "drop", "agreement %", "seconds"])


def gate_table(gate: Facts) -> str:
    """What was planted, changed or drawn in each run, and what the gate made of it."""
    return markdown_table(gate["rows"], gate["head"])


def coverage_table(coverage: Facts) -> str:
    """Return how often the intervals hold the truth."""
    return markdown_table(coverage["rows"], coverage["head"])


def between(coverage: Facts, column: str, images: str) -> str:
    """Return the least and the most of a column where `images` is what a class has."""
    at, by = coverage["head"].index(column), coverage["head"].index("images of a class")
    values = [float(row[at]) for row in coverage["rows"] if row[by] == images]
    return f"{min(values):.0f}-{max(values):.0f}"


def zoo_table(zoo: Facts) -> str:
    """Return int8 of every network."""
    head = ["network", "target", "seconds", "peak GB", "int8 MACs %", "agreement %"]
    return markdown_table([[_cell(v) for v in row.values()] for row in zoo["rows"]], head)


def families_table(families: Facts) -> str:
    """Return every family: each quantizer's agreement, MACs in int8, time over fp32's, seconds."""
    names = list(dict.fromkeys(n for f in families.values() for n in f.get("files", {})))
    table: list[list[Cell]] = []
    for family, found in families.items():
        files = found.get("files", {})
        cells = [_family_file(files[n]) if n in files else found["error"] for n in names]
        table.append([family, *cells])
    return markdown_table(table, ["family", *names])


def _family_file(file: Facts) -> str:
    if file["error"]:
        return str(file["error"])
    return (
        f"{file['agreement']:.2f} %, {file['int8_macs']:.0f} % int8, "
        f"{file['ratio']:.2f}x, {file['seconds']:.1f} s"
    )


def family_targets_table(families: Facts) -> str:
    """Return what Segport's other targets gave: the agreement of a file, or the refusal."""
    names = list(dict.fromkeys(n for f in families.values() for n in f.get("targets", {})))
    table: list[list[Cell]] = []
    for family, found in families.items():
        targets = found.get("targets", {})
        cells = [_family_target(targets[n]) if n in targets else "-" for n in names]
        table.append([family, *cells])
    return markdown_table(table, ["family", *names])


def _family_target(target: Facts) -> str:
    return str(target["error"] or f"{target['agreement']:.2f} %")


def exporters_table(files: Facts) -> str:
    """Return a row per family: what came of the file of each exporter."""
    families = list(dict.fromkeys(key.split()[0] for key in files))
    exporters = list(dict.fromkeys(key.split()[1] for key in files))
    rows = [
        [family, *(_exported(files.get(f"{family} {exporter}")) for exporter in exporters)]
        for family in families
    ]
    return markdown_table(rows, ["family", *exporters])


def _exported(steps: dict[str, str] | None) -> str:
    """Return the first step that did not pass, and why; why none was written is in the JSON."""
    if steps is None:
        return "-"
    held = next(((name, text) for name, text in steps.items() if text != "passed"), None)
    if held is None:
        return "passed"
    return held[1].partition(":")[0] if held[0] == "export" else f"{held[0]} {held[1]}"


LIMITS = {"whole run / inferences": 1.3, "peak memory": 2000.0, "second run": 5.0}
"""The most that a run may take: a ratio, MB (a ResNet-101: twice that) and seconds."""


def pipeline_table(runs: Facts) -> str:
    """Return the figures of every run, by its network, and whether they keep their limits."""
    names = dict.fromkeys(name for run in runs.values() for name in run["figures"])
    rows = []
    for name in names:
        cells = [run["figures"].get(name, "-") for run in runs.values()]
        rows.append([name, *(_limited(name, *pair) for pair in zip(runs, cells, strict=True))])
    return markdown_table(rows, ["figure", *runs])


def _limited(name: str, network: str, text: str) -> str:
    limit = LIMITS.get(name)
    if limit is None or text == "-":
        return text
    limit *= 2 if name == "peak memory" and "resnet101" in network else 1
    return f"{text} ({'within' if float(text.split()[0]) <= limit else 'above'} {limit:g})"


def _cell(value: Any) -> Cell:
    return number(value, 2) if isinstance(value, float) else str(value)
