"""infer.mjs in Node, with the npm package: the masks of `segport predict`, to the pixel."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segport
from export.artifact.artifact import Artifact
from tests.segport.packaging.pictures import assert_masks_of_predict, picture_of

SCRIPT = Path(segport.__file__).parent / "packaging/inside/infer.mjs"
_RESIZE = """
import { readFileSync, writeFileSync } from "node:fs";
import { resize } from "SCRIPT";
for (const line of readFileSync(0, "utf8").trim().split("\\n")) {
  const [file, kind, ...sizes] = line.split(" ");
  const bytes = Uint8Array.from(readFileSync(file));
  const [h, w, H, W] = sizes.map(Number);
  const found = resize(kind === "u8" ? bytes : new Float32Array(bytes.buffer), [h, w], [H, W]);
  writeFileSync(`${file}.out`, new Uint8Array(found.buffer));
}
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not there")
def test_it_resizes_as_pillow_does(tmp_path: Path) -> None:
    """Bytes and floats, to the bit, with either axis first."""
    rng = np.random.default_rng(0)
    shapes = [tuple(map(int, rng.integers(2, 90, 4))) for _ in range(40)]
    shapes += [(513, 513, 375, 500), (513, 513, 500, 375), (60, 60, 60, 60)]
    lines, wanted = [], {}
    for index, (h, w, high, wide) in enumerate(shapes):
        for kind in ("u8", "f32"):
            noise = rng.integers(0, 256, (h, w)) if kind == "u8" else rng.normal(0, 9, (h, w))
            plane = noise.astype(np.uint8 if kind == "u8" else np.float32)
            file = tmp_path / f"{index}.{kind}"
            file.write_bytes(plane.tobytes())
            lines.append(f"{file} {kind} {h} {w} {high} {wide}")
            resized = Image.fromarray(plane).resize((wide, high), Image.Resampling.BILINEAR)
            wanted[file] = np.asarray(resized).tobytes()
    (tmp_path / "try.mjs").write_text(_RESIZE.replace("SCRIPT", SCRIPT.as_uri()))
    subprocess.run(
        ["node", tmp_path / "try.mjs"], input="\n".join(lines), text=True, check=True, timeout=60
    )
    assert [f for f, one in wanted.items() if Path(f"{f}.out").read_bytes() != one] == []


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """infer.mjs beside an installed onnxruntime-web, as its first lines say."""
    folder = tmp_path_factory.mktemp("node")
    shutil.copy(SCRIPT, folder)
    subprocess.run(
        ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefer-offline",
         "onnxruntime-web@1.30.0"],
        cwd=folder, check=True, timeout=300,
    )  # fmt: skip
    return folder / "infer.mjs"


@pytest.mark.slow
@pytest.mark.web
def test_masks_are_those_of_predict(script: Path, tiny: Artifact, tmp_path: Path) -> None:
    assert_masks_of_predict(["node", script], tiny.path, tmp_path)


@pytest.mark.slow
@pytest.mark.web
def test_what_is_no_ppm_is_one_line(script: Path, tiny: Artifact, tmp_path: Path) -> None:
    picture = picture_of(tmp_path, (65, 65)).with_suffix(".png")
    done = subprocess.run(
        ["node", script, tiny.path, picture, tmp_path / "mask.pgm"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, "infer: not a binary PPM of 8 bits (P6)\n")
    assert not (tmp_path / "mask.pgm").exists()
