"""Is this package whole, and does it compute here what it promises? `python verify.py`.

Exit code 0: every variant gives the expected masks, or all but a few pixels of them, as another
instruction set may. 1: one computes something else. 2: the package is damaged. Who made it, only
its signature tells, which `segport verify PACKAGE --key KEY` checks.
"""

import hashlib
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

SUMS = "SHA256SUMS"
INDEX = "manifest.json"
SCHEMA = 1
CPU = "CPUExecutionProvider"
INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "i8mm")
TOLERANCE = {CPU: 0.001}
"""Share of a mask's pixels that may differ: CPUs add in another order; GPUs round to float16."""
OTHER_TOLERANCE = 0.01

_LINE = re.compile(r"([0-9a-f]{64})  ([^\n]+)\n")
_WARNING, _SILENT = 2, 4
_LARGEST_TEXT = 1 << 24
"""Bytes of an index or a list of checksums that is one."""


class DamagedError(Exception):
    """What is wrong with a package, in one line."""


@dataclass(frozen=True)
class Row:
    """What a variant gave on a provider: pixels `wrong` of `pixels`, and the fastest picture."""

    variant: str
    provider: str
    pixels: int
    wrong: int
    milliseconds: float
    meant_for_this: bool

    @property
    def verdict(self) -> str:
        """`exact`, `equal` but for a few pixels, or `wrong`."""
        if self.wrong == 0:
            return "exact"
        allowed = TOLERANCE.get(self.provider, OTHER_TOLERANCE) * self.pixels
        return "equal" if self.wrong <= allowed else "wrong"


def files_in(folder: Path) -> list[str]:
    """Return the paths of a package's files, with slashes, sorted.

    Raises DamagedError for links, for what is no regular file, and for names that are one on a
    file system that does not tell cases apart.
    """
    found: list[str] = []
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(parent, name)
            shown = path.relative_to(folder).as_posix()
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise DamagedError(f"{shown!a} is a link or no regular file")
        found += [Path(parent, name).relative_to(folder).as_posix() for name in names]
    refuse_collisions(found)
    return sorted(found)


def refuse_collisions(paths: list[str]) -> None:
    """Raise DamagedError for names that differ in case only, folders' too."""
    seen: dict[str, str] = {}
    for path in paths:
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            name = "/".join(parts[:depth])
            if seen.setdefault(name.casefold(), name) != name:
                raise DamagedError(f"{name!a} and {seen[name.casefold()]!a} differ in case only")


def refuse_unsafe(path: str) -> None:
    """Raise DamagedError for a path that leaves the package, or that other systems read so."""
    parts = path.split("/")
    if not path.isprintable() or set(path) & set('\\:*?"<>|') or {"", ".", ".."} & set(parts):
        raise DamagedError(f"{path!a} is no path inside a package")


def digest(file: Path) -> str:
    """Return the hex sha256 of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def checksums(digests: dict[str, str]) -> str:
    """Return the text of SHA256SUMS, as `sha256sum --check` reads it."""
    return "".join(f"{digests[path]}  {path}\n" for path in sorted(digests))


def check_files(folder: Path) -> None:
    """Raise DamagedError unless the files are those of SHA256SUMS, all of them and no others."""
    text = _text(folder / SUMS)
    expected = {path: value for value, path in _LINE.findall(text)}
    if not expected or checksums(expected) != text:
        raise DamagedError(f"{SUMS} is not as a package's is written")
    for path in expected:
        refuse_unsafe(path)
    there = set(files_in(folder)) - {SUMS}
    for word, names in (("missing", expected.keys() - there), ("not", there - expected.keys())):
        if names:
            raise DamagedError(f"{min(names)!a} is {word} in the package, by its {SUMS}")
    for path, value in expected.items():
        if digest(folder / path) != value:
            raise DamagedError(f"{path!a} was changed: its sha256 is not that of {SUMS}")


def _text(file: Path) -> str:
    if file.is_symlink() or not file.is_file():
        raise DamagedError(f"{file.name} is not there: this is no package")
    if file.stat().st_size > _LARGEST_TEXT:
        raise DamagedError(f"{file.name} is too large to be a package's")
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise DamagedError(f"{file.name} is no text") from error


def read_index(folder: Path) -> dict[str, Any]:
    """Return manifest.json. Raises DamagedError where it is not one of this schema."""
    try:
        index = json.loads(_text(folder / INDEX))
        schema = index["additional_metadata"]["segport"]["schema"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedError(f"{INDEX} is not that of a package of Segport") from error
    if schema != SCHEMA or str(index.get("schema_version")).split(".")[0] != "1":
        raise DamagedError(f"{INDEX}: schema {schema!a}, this verifies {SCHEMA}")
    return dict(index)


def refuse_absent(folder: Path, index: dict[str, Any]) -> None:
    """Raise DamagedError where manifest.json names files that SHA256SUMS does not list."""
    segport = index["additional_metadata"]["segport"]
    models = [model for _, model, _ in variants_of(index)]
    manifests = [f"{model.removesuffix('.onnx')}.json" for model in models]
    pictures = [sample["picture"] for sample in segport["samples"]]
    masks = [mask for sample in segport["samples"] for mask in sample["masks"].values()]
    there = files_in(folder)
    for path in (*models, *manifests, *pictures, *masks):
        if path not in there:
            raise DamagedError(f"{INDEX} names {path!a}, which is not there")
    if not models or not pictures:
        raise DamagedError(f"{INDEX} has no variants or no samples")


def variants_of(index: dict[str, Any]) -> Iterator[tuple[str, str, str | None]]:
    """Yield each variant's name, the path of its model, and the provider that it is for."""
    (component,) = index["components"].values()
    for name, variant in component["variants"].items():
        model = variant["executor_info"]["ort"]["model_file"]
        yield name, f"{variant['variant_directory']}/{model}", variant.get("ep")


def instruction_sets() -> list[str]:
    """Return the machine and what of its CPU bears on results, such as x86_64 and avx512_vnni."""
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        words = set()
    return [platform.machine(), *(name for name in INSTRUCTION_SETS if name in words)]


def run_variants(folder: Path, index: dict[str, Any], open_: Callable[..., Any]) -> Iterator[Row]:
    """Yield what every variant gives on the CPU, and on its own provider where that is here.

    `open_(model, provider)` opens a network as `infer.Network` does.
    """
    samples = index["additional_metadata"]["segport"]["samples"]
    for name, model, wanted in variants_of(index):
        for provider in dict.fromkeys((CPU, wanted)):
            if provider is None or provider not in onnxruntime.get_available_providers():
                continue
            network = open_(folder / model, provider)
            if network.session.get_providers()[0] == provider:
                yield _run(folder, name, provider, network, samples, provider == wanted)


def _run(
    folder: Path, name: str, provider: str, network: Any, samples: list[Any], meant: bool
) -> Row:
    pixels = wrong = 0
    times = []
    for sample in samples:
        picture = network.picture(folder / sample["picture"])
        started = time.perf_counter()
        mask = network.mask(picture)
        times.append(1e3 * (time.perf_counter() - started))
        with Image.open(folder / sample["masks"][name]) as expected:
            wrong += int((np.asarray(expected) != mask).sum())
        pixels += mask.size
    return Row(name, provider, pixels, wrong, min(times), meant)


def best(rows: list[Row]) -> Row | None:
    """Return the fastest of what is made for this machine and computes what it promises."""
    right = [row for row in rows if row.meant_for_this and row.verdict != "wrong"]
    return min(right, key=lambda row: row.milliseconds, default=None)


def lines(rows: list[Row], index: dict[str, Any]) -> Iterator[str]:
    """Yield what was found: a line per variant, which one to take, and the verdict."""
    made, here = index["additional_metadata"]["segport"]["made"], instruction_sets()
    for row in rows:
        yield (
            f"{row.variant:<16}{row.provider.removesuffix('ExecutionProvider'):<10}"
            f"{row.verdict:<7}{row.wrong} of {row.pixels} pixels differ  {row.milliseconds:.1f} ms"
        )
    if right := best(rows):
        yield f"for this machine ({', '.join(here)}): {right.variant}, {right.milliseconds:.1f} ms"
    different = [
        f"{word} {' '.join(there)} there, {' '.join(now)} here"
        for word, there, now in (
            ("instruction set", made["instruction_sets"], here),
            ("onnxruntime", [made["onnxruntime"]], [onnxruntime.__version__]),
        )
        if there != now
    ]
    worst = max(rows, key=lambda row: row.wrong / row.pixels)
    said = {
        "exact": "exact: every variant computes what was promised",
        "equal": f"equal but for {worst.wrong} of {worst.pixels} pixels at most",
        "wrong": "wrong: a variant does not compute what was promised",
    }[overall(rows)]
    yield said + (f" ({'; '.join(different)})" if different and overall(rows) != "exact" else "")


def overall(rows: list[Row]) -> str:
    """Return the worst verdict of all."""
    verdicts = {row.verdict for row in rows}
    return next(verdict for verdict in ("wrong", "equal", "exact") if verdict in verdicts)


def verified(folder: Path, open_: Callable[..., Any]) -> tuple[list[Row], list[str]]:
    """Return what the variants of a package with sound files give, and what that means in words.

    Raises DamagedError where the index does not fit the files.
    """
    index = read_index(folder)
    onnxruntime.set_default_logger_severity(_SILENT)  # what a GPU's library lacks is no news
    try:
        refuse_absent(folder, index)
        rows = list(run_variants(folder, index, open_))
        return rows, list(lines(rows, index))
    except DamagedError:
        raise
    except Exception as error:  # whatever somebody else's manifest or model provokes
        said = str(error).strip().split("\n")[0] or type(error).__name__
        raise DamagedError(f"{INDEX} and what it names do not work ({said})") from error
    finally:
        onnxruntime.set_default_logger_severity(_WARNING)


def main() -> int:
    """Verify the package that this file lies in; return the exit code."""
    folder = Path(__file__).resolve().parent
    sys.dont_write_bytecode = True  # a package has no other files than those it came with
    try:
        check_files(folder)
        from infer import Network  # type: ignore[import-not-found]  # beside this file

        rows, text = verified(folder, Network)
    except DamagedError as error:
        print(f"damaged: {error}", file=sys.stderr)
        return 2
    print("\n".join(text))
    return int(overall(rows) == "wrong")


if __name__ == "__main__":
    sys.exit(main())
