"""What onnx2tf makes of a file for LiteRT: number types, and classes against onnxruntime.

    python3 -m venv .venv-litert
    .venv-litert/bin/pip install onnx2tf tensorflow tf_keras ai-edge-litert pillow
    .venv-litert/bin/python benchmarks/litert.py FILE.onnx... [--images FOLDER] [--count 3]

In an environment of its own, since onnx2tf pins another onnx. Images are squashed to the network's
size, of mean and deviation in the manifest beside the file. onnx2tf wants a sample file, which it
would download; noise is given to it, since only its own quantization reads it.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

_WANTED = "calibration_image_sample_data_20x128x128x3_float32.npy"


def converted(file: Path, folder: Path) -> Path:
    """Convert an ONNX file; return the float32 .tflite, which is what onnx2tf makes of any."""
    np.save(folder / _WANTED, np.random.default_rng(0).random((20, 128, 128, 3), np.float32))
    copy = shutil.copy(file, folder)  # onnx2tf writes a simplified network into what it is given
    command = [Path(sys.executable).with_name("onnx2tf"), "-i", copy, "-o", folder, "-n"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{file}: onnx2tf failed: {done.stderr.strip().splitlines()[-1]}")
    return folder / f"{file.stem}_float32.tflite"


def classes_of(output: NDArray[Any], channels: int) -> NDArray[Any]:
    """Return the class of each pixel of logits whose axis `channels` it is, or of a mask."""
    squeezed = output if output.ndim == 4 and output.dtype == np.float32 else None
    return output.reshape(-1) if squeezed is None else squeezed.argmax(channels).reshape(-1)


def tensor(picture: Path, manifest: dict[str, Any]) -> NDArray[np.float32]:
    """Return a picture as the network's input, float32 (1, 3, H, W)."""
    spec = manifest["input"]
    height, width = spec["shape"][2:]
    pixels = np.asarray(Image.open(picture).convert("RGB").resize((width, height)), np.float32)
    scaled = (pixels / 255 - np.array(spec["mean"])) / np.array(spec["std"])
    return scaled.astype(np.float32).transpose(2, 0, 1)[None]


def compare(file: Path, pictures: list[Path]) -> None:
    """Print what the converted file holds, and how many pixels keep their class."""
    from ai_edge_litert.interpreter import Interpreter

    manifest = json.loads(file.with_suffix(".json").read_text())
    with tempfile.TemporaryDirectory() as folder:
        lite = Interpreter(str(converted(file, Path(folder))))
        lite.allocate_tensors()
    types = Counter(np.dtype(one["dtype"]).name for one in lite.get_tensor_details())
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    same = []
    for picture in pictures:
        image = tensor(picture, manifest)
        expected = session.run(None, {session.get_inputs()[0].name: image})[0]
        lite.set_tensor(lite.get_input_details()[0]["index"], image.transpose(0, 2, 3, 1))
        lite.invoke()
        found = lite.get_tensor(lite.get_output_details()[0]["index"])
        same.append(float((classes_of(expected, 1) == classes_of(found, 3)).mean()))
    print(f"{file.name}: tensors {dict(types)}, {100 * np.mean(same):.2f} % of pixels keep their "
          f"class on {len(pictures)} images")  # fmt: skip


def main() -> None:
    """Compare every file."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    default = Path("../shared/voc/VOCdevkit/VOC2012/JPEGImages")
    parser.add_argument("--images", type=Path, default=default)
    parser.add_argument("--count", type=int, default=3)
    options = parser.parse_args()
    pictures = sorted(options.images.glob("*.jpg"))[: options.count]
    for file in options.files:
        compare(file, pictures)


if __name__ == "__main__":
    main()
