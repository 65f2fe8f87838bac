"""A row for each kind of file that comes from others: a sound one, and what reads it."""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from export.artifact.artifact import Artifact, load_artifact
from export.artifact.classes import VOC_CLASSES, read_classes
from export.common.errors import SegportError
from segport.recipe_file import load_recipe
from segport.sweep.plan import load_sweep
from tests.fuzz import seeds
from validate.data.items import Item
from validate.data.sbd import read_mat
from validate.samples.labels import read_mask
from validate.samples.samples import read_image

SECONDS = 30.0
MEMORY = 3 << 30
"""What reading a small file may take, whatever it says; bytes beyond what the process had."""
RECIPE = 'name = "x"\n[model]\nonnx = "a.onnx"\n[data]\ncalibration = "c"\nvalidation = "v"\n'
SWEEP = (
    '[data]\ncalibration = "c"\nvalidation = "v"\n[network.a]\nonnx = "a.onnx"\n'
    '[grid]\nprecision = ["int8", "fp16"]\ntarget = ["cpu", "npu"]\nkeep_float = [[], ["b*"]]\n'
)
SPACE = SWEEP.replace("[grid]", "[space]\ntrials = 9\nseed = 1\nbatch = 3") + (
    'range = ["mse", { rule = "percentile", min = 99, max = 99.9 }]\n'
    "max_drop = { min = 0.1, max = 1 }\n"
)
CLASSES = "\n".join(VOC_CLASSES)


@dataclass(frozen=True)
class Parser:
    """`seed(folder, tiny)` writes sound files and returns the one to mutate; `load` reads it."""

    seed: Callable[[Path, Artifact], Path]
    load: Callable[[Path], object]
    slow: int = 1
    """How many times as long it takes as others, which are tried as many times as often."""

    def refuses(self, file: Path) -> bool:
        """Whether `file` is refused; AssertionError for another end, and for too much taken."""
        started, before = time.monotonic(), _peak()
        try:
            self.load(file)
            refused = False
        except SegportError as error:
            assert str(error).strip(), "an error that says nothing"
            refused = True
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}") from error
        assert time.monotonic() - started < SECONDS
        assert _peak() - before < MEMORY
        return refused


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


PARSERS = {
    "result": Parser(seeds.result, seeds.load_gated),
    "counts": Parser(seeds.counts, seeds.load_gated),
    "baseline": Parser(seeds.baseline, lambda file: seeds.load_gated(file, "baseline.json")),
    "manifest": Parser(seeds.manifest, lambda file: load_artifact(file.with_suffix(".onnx"))),
    "recipe": Parser(seeds.text("x.toml", RECIPE), load_recipe),
    "sweep": Parser(seeds.text("x.toml", SWEEP), load_sweep),
    "sweep-space": Parser(seeds.text("x.toml", SPACE), load_sweep),
    "class-file": Parser(
        seeds.text("x.txt", "\n".join(VOC_CLASSES)), lambda f: read_classes(str(f))
    ),
    "coco": Parser(seeds.coco, seeds.load_coco),
    **{
        name: Parser(seeds.picture(f"x.{name}"), lambda file: read_image(Item("x", file, None)))
        for name in ("png", "jpg", "bmp", "tif", "webp")
    },
    "stage-record": Parser(seeds.record, seeds.load_record),
    "cache-entry": Parser(seeds.cache_entry, seeds.load_cache_entry),
    "checkpoint": Parser(seeds.checkpoint, seeds.load_state),
    "safetensors": Parser(seeds.safetensors, seeds.load_state),
    "onnx": Parser(seeds.onnx_file, seeds.load_onnx_file),
    "onnx-import": Parser(seeds.onnx_file, seeds.import_onnx_file, slow=20),
    "label-map": Parser(seeds.label_map, seeds.load_label_map),
    "csv": Parser(seeds.listing, seeds.load_listing),
    "split-file": Parser(seeds.split, seeds.load_split),
    "mat": Parser(seeds.mat, read_mat),
    "pictures": Parser(seeds.pictures, seeds.load_pictures),
    "mask": Parser(seeds.mask, lambda file: read_mask(Item("x", file, file), (9, 9), 21)),
    "diagnosis": Parser(seeds.diagnosis, seeds.load_diagnosis_file),
    "history": Parser(seeds.history, seeds.load_history),
    "package": Parser(seeds.package, seeds.load_package),
    "preprocessor": Parser(seeds.preset, seeds.load_preset),
}
