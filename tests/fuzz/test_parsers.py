"""Mutated files end in a SegportError or are read, whatever the bytes; a row per parser.

`SEGPORT_FUZZ=5000` tries that many of each instead of a hundred.
"""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from export.artifact import Artifact, load_artifact
from export.checkpoint import read_state_dict
from export.classes import VOC_CLASSES, read_classes
from export.errors import DataError, SegportError
from segport.recipe import load_recipe
from tests.fuzz import seeds
from tests.validate.data.coco import HEIGHT, WIDTH, box, crowd, instance, write_coco
from tests.validate.fakes import save_mask, save_rgb
from tests.validate.results import written
from validate.data.sbd import read_mat
from validate.datasets import Item, open_dataset
from validate.gate import gate
from validate.gating.acceptance import update_baseline
from validate.gating.counted import count
from validate.gating.rules import Rules
from validate.gating.verdict import exit_code
from validate.labels import read_mask
from validate.result import load_result
from validate.samples import read_image

TRIES = int(os.environ.get("SEGPORT_FUZZ", "100"))
_TOKENS = (
    b"NaN",
    b"1e999",
    b"-1",
    b"null",
    b"[]",
    b"{}",
    b'"',
    b"\0",
    b"\xff",
    b"[" * 2000,
    b"9" * 5000,
)
RECIPE = 'name = "x"\n[model]\nonnx = "a.onnx"\n[data]\ncalibration = "c"\nvalidation = "v"\n'


@dataclass(frozen=True)
class Parser:
    """`seed(folder, tiny)` writes sound files and returns the one to mutate; `load` reads it."""

    seed: Callable[[Path, Artifact], Path]
    load: Callable[[Path], object]


def _manifest(folder: Path, tiny: Artifact) -> Path:
    for path in (tiny.path, tiny.path.with_suffix(".json")):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder / f"{tiny.path.stem}.json"


def _text(name: str, text: str) -> Callable[[Path, Artifact], Path]:
    def seed(folder: Path, tiny: Artifact) -> Path:
        (folder / name).write_text(text)
        return folder / name

    return seed


def _coco(folder: Path, tiny: Artifact) -> Path:
    shapes = [box(0, 0, 4, 4), crowd("#" * WIDTH, *["." * WIDTH] * (HEIGHT - 1))]
    write_coco(folder, [instance(3, 1, shape) for shape in shapes])
    return folder / "annotations/instances_val2017.json"


def _load_coco(file: Path) -> None:
    for item in open_dataset(str(file.parent.parent), "val").items:
        read_mask(item, (HEIGHT, WIDTH), 21)


def _picture(name: str) -> Callable[[Path, Artifact], Path]:
    def seed(folder: Path, tiny: Artifact) -> Path:
        save_rgb(folder / name, np.random.default_rng(0).integers(0, 255, (9, 9, 3)))
        return folder / name

    return seed


def _mask(folder: Path, tiny: Artifact) -> Path:
    save_mask(folder / "m.png", np.arange(81).reshape(9, 9) % 21)
    return folder / "m.png"


def _result(folder: Path, tiny: Artifact) -> Path:
    matrices = np.stack([np.diag([300, 200, 100])] * 2)
    written(folder, {"fp32": matrices, "int8": matrices})
    return folder / "result.json"


def _counts(folder: Path, tiny: Artifact) -> Path:
    return _result(folder, tiny).with_name("confusion.npz")


def _baseline(folder: Path, tiny: Artifact) -> Path:
    file = _result(folder, tiny)
    counted = count(load_result(file), folder, Rules())
    update_baseline([counted], folder / "baseline.json", "a seed")
    return folder / "baseline.json"


def _gate(file: Path, baseline: str | None = None) -> None:
    """What the gate reads; a verdict that it cannot tell counts as a refusal."""
    result = load_result(file.with_name("result.json"))
    against = file.with_name(baseline) if baseline else None
    verdicts = gate(result, folder=file.parent, baseline=against, max_drop={"int8": 99})
    if exit_code(verdicts) != 0:
        raise DataError("a doubt")


PARSERS = {
    "result": Parser(_result, _gate),
    "counts": Parser(_counts, _gate),
    "baseline": Parser(_baseline, lambda file: _gate(file, "baseline.json")),
    "manifest": Parser(_manifest, lambda file: load_artifact(file.with_suffix(".onnx"))),
    "recipe": Parser(_text("x.toml", RECIPE), load_recipe),
    "class file": Parser(_text("x.txt", "\n".join(VOC_CLASSES)), lambda f: read_classes(str(f))),
    "coco": Parser(_coco, _load_coco),
    **{
        name: Parser(_picture(f"x.{name}"), lambda file: read_image(Item("x", file, None)))
        for name in ("png", "jpg", "bmp", "tif", "webp")
    },
    "stage record": Parser(seeds.record, seeds.load_record),
    "cache entry": Parser(seeds.cache_entry, seeds.load_cache_entry),
    "checkpoint": Parser(seeds.checkpoint, read_state_dict),
    "safetensors": Parser(seeds.safetensors, read_state_dict),
    "onnx": Parser(seeds.onnx_file, seeds.load_onnx_file),
    "label map": Parser(seeds.label_map, seeds.load_label_map),
    "csv": Parser(seeds.listing, seeds.load_listing),
    "split file": Parser(seeds.split, seeds.load_split),
    "mat": Parser(seeds.mat, read_mat),
    "pictures": Parser(seeds.pictures, seeds.load_pictures),
    "mask": Parser(_mask, lambda file: read_mask(Item("x", file, file), (9, 9), 21)),
}


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Return `data` with one to four changes: flipped, cut, repeated, or a nasty token put in."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(changed) + 1)
        end = min(len(changed), start + rng.choice((1, 4, 32)))
        kind = rng.randrange(4)
        if kind == 0 and start < len(changed):
            changed[start] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del changed[start:end]
        elif kind == 2:
            changed[start:start] = changed[start:end] * rng.choice((1, 50))
        else:
            changed[start:end] = rng.choice(_TOKENS)
    return bytes(changed)


@pytest.mark.parametrize("name", PARSERS)
def test_no_mutated_file_is_a_traceback(name: str, tmp_path: Path, tiny: Artifact) -> None:
    parser = PARSERS[name]
    file = parser.seed(tmp_path, tiny)
    sound = file.read_bytes()
    parser.load(file)
    refused = 0
    for number in range(TRIES):
        file.write_bytes(mutated(sound, random.Random(number)))
        try:
            parser.load(file)
        except SegportError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"mutation {number}: {type(error).__name__}") from error
    assert refused > 0
