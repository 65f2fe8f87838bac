"""Calibrate and validate on very many images: memory, open files, and what progress promises.

    python benchmarks/long_run.py [--images 20000] [-o runs/bench]

Images are synthetic, 24x24, the network is that of the tests; each command runs in a process of
its own, whose resident memory and file descriptors are read twice a second and whose progress is
read as it is written. Compared are, in each pass over the images, the medians of the second and of
the last quarter of its time, and the time that was said to remain with that it took.

The evidence a result consists of, two confusion matrices of int64 per image and artifact, 7 kB with
21 classes, waits in a file; calibration keeps 80 bytes an image, its name and digest.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from argparse import ArgumentParser
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import facts, write_json
from export.onnx_export import export_model

_SAID = re.compile(r" (\d+)/(\d+)(?:, (\d+):(\d\d) left)?$")
_TICK = 0.5


@dataclass(frozen=True)
class Said:
    """A line of progress: when, images done and in all, seconds that it said were left."""

    at: float
    done: int
    total: int
    left: float | None


@dataclass
class Watched:
    """What was seen of a process: time in seconds, bytes, open files, and what progress said."""

    samples: list[tuple[float, int, int]] = field(default_factory=list)
    counts: list[Said] = field(default_factory=list)
    ended: float = 0.0
    code: int = 0
    said: str = ""


@dataclass(frozen=True)
class Row:
    """One pass: memory in MB and files in its second and its last quarter; the promises' worst
    and median error in percent of the time that was left, of those made after its first quarter."""

    command: str
    number: int
    images: int
    seconds: float
    memory_before: float
    memory_after: float
    files_before: int
    files_after: int
    promises: int
    promise_error_median: float | None
    promise_error_worst: float | None


def write_images(root: Path, count: int) -> None:
    """Write a VOC root; `train` and `val` are the same `count` images."""
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [f"{index:06d}" for index in range(count)]
    for name in names:
        pixels = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"JPEGImages/{name}.jpg")
        labels = np.repeat(np.repeat(rng.integers(0, 21, (3, 3), dtype=np.uint8), 8, 0), 8, 1)
        Image.fromarray(labels).save(root / f"SegmentationClass/{name}.png")
    for split in ("train", "val"):
        (root / f"ImageSets/Segmentation/{split}.txt").write_text("\n".join(names) + "\n")


def watched(command: list[str]) -> Watched:
    """Run a command to its end and watch it."""
    seen, start = Watched(), time.monotonic()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stderr is not None
    pipe = process.stderr.fileno()

    def read() -> None:
        text = ""
        while part := os.read(pipe, 4096):
            text += part.decode()
            seen.said = text[-2000:]
            if said := _SAID.search(text):
                left = int(said[3]) * 60 + int(said[4]) if said[3] else None
                now = time.monotonic() - start
                seen.counts.append(Said(now, int(said[1]), int(said[2]), left))

    reader = threading.Thread(target=read)
    reader.start()
    page = os.sysconf("SC_PAGE_SIZE")
    while process.poll() is None:
        try:
            resident = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * page
            files = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
            seen.samples.append((time.monotonic() - start, resident, files))
        except OSError:
            break
        time.sleep(_TICK)
    seen.code = process.wait()
    reader.join()
    seen.ended = time.monotonic() - start
    return seen


def passes(said: list[Said]) -> list[list[Said]]:
    """Split progress where its count begins anew."""
    found: list[list[Said]] = []
    for one in said:
        if not found or one.total != found[-1][-1].total or one.done < found[-1][-1].done:
            found.append([])
        found[-1].append(one)
    return [part for part in found if len(part) > 3]


def row(name: str, number: int, images: int, said: list[Said], seen: Watched) -> Row:
    """Judge one pass; it ends as far behind its last line as its last images need."""
    first, last = said[0], said[-1]
    rate = (last.at - said[-3].at) / (last.done - said[-3].done)
    begun, over = first.at, last.at + rate * (last.total - last.done)
    quarter = (over - begun) / 4
    before, after = (
        [s for s in seen.samples if begun + n * quarter <= s[0] < begun + (n + 1) * quarter]
        for n in (1, 3)
    )
    promises = [one for one in said if one.left and begun + quarter <= one.at]
    errors = [abs(one.at + (one.left or 0) - over) / (over - one.at) * 100 for one in promises]
    return Row(
        name, number, images, round(over - begun, 1),
        *(round(statistics.median(s[1] for s in part) / 1e6, 1) for part in (before, after)),
        *(int(statistics.median(s[2] for s in part)) for part in (before, after)),
        len(promises),
        round(statistics.median(errors), 1) if errors else None,
        round(max(errors), 1) if errors else None,
    )  # fmt: skip


def main() -> None:
    """Print and write what was measured; exit 1 where a command failed."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/bench"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_images(folder / "voc", options.images)
        tiny = export_model("tests.networks:tiny", "default", folder, size=(33, 33), name="tiny")
        segport = [sys.executable, "-m", "segport"]
        commands = {
            "quantize": [*segport, "quantize", str(tiny.path), "--precision", "int8", "--samples",
                         str(options.images), "--calibration", f"{folder}/voc:train", "--force",
                         "-o", f"{folder}/out"],
            "validate": [*segport, "validate", str(tiny.path), "--data", f"{folder}/voc", "-o",
                         f"{folder}/result"],
        }  # fmt: skip
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        rows = []
        for name, command in commands.items():
            seen = watched(command)
            if seen.code:
                sys.exit(f"{name} ended with {seen.code}: {seen.said.splitlines()[-1]}")
            for number, said in enumerate(passes(seen.counts), 1):
                rows.append(asdict(row(name, number, options.images, said, seen)))
                print(rows[-1], flush=True)
    write_json(options.out / "long_run.json", facts(images=options.images) | {"rows": rows})


if __name__ == "__main__":
    main()
