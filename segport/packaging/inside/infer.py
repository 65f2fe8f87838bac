"""Segment a picture: python infer.py MODEL.onnx PICTURE MASK.png."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


class Network:
    """A model, and the manifest of the same name beside it, which says how pictures go in."""

    def __init__(self, model: Path, provider: str = "CPUExecutionProvider") -> None:
        self.manifest: dict[str, Any] = json.loads(model.with_suffix(".json").read_text("utf-8"))
        options = onnxruntime.SessionOptions()
        # exact int8 sums on x86 without VNNI; elsewhere they are exact anyway
        options.add_session_config_entry("session.x64quantprecision", "1")
        self.session = onnxruntime.InferenceSession(str(model), options, providers=[provider])

    def picture(self, file: Path) -> Image.Image:
        """Return a picture, upright, with the channels that the network takes."""
        picture = ImageOps.exif_transpose(Image.open(file))
        if picture.mode.startswith("I;16"):
            picture = Image.fromarray(np.rint(np.asarray(picture) / 257).astype(np.uint8))
        return picture.convert(self.manifest["input"]["colour_order"])

    def tensor(self, picture: Image.Image) -> Any:
        """Return the network's input: resized, normalised, channels first."""
        spec, (_, *free) = self.manifest["input"], self.manifest["macs_shape"]
        height, width = (side or any_ for side, any_ in zip(spec["shape"][2:], free, strict=True))
        resized = picture.resize((width, height), Image.Resampling.BILINEAR)
        std = np.asarray(spec["std"], np.float32)
        pixels = np.asarray(resized).reshape(height, width, -1) * (np.float32(1 / 255) / std)
        planes = (pixels - np.asarray(spec["mean"], np.float32) / std).transpose(2, 0, 1)
        return np.repeat(planes[None], spec["shape"][0] or 1, axis=0).astype(spec["dtype"])

    def mask(self, picture: Image.Image) -> Any:
        """Return the class of every pixel of the picture, uint8 (height, width)."""
        outputs = {spec["kind"]: spec["name"] for spec in self.manifest["outputs"]}
        kind, size = "logits" if "logits" in outputs else "mask", picture.size
        feed = {self.manifest["input"]["name"]: self.tensor(picture)}
        found: Any = self.session.run([outputs[kind]], feed)[0]
        if kind == "mask":
            return np.asarray(Image.fromarray(found[0].astype(np.uint8)).resize(size, 0))
        classes, best = np.zeros(size[::-1], np.uint8), np.float32(-np.inf)
        for index, plane in enumerate(map(Image.fromarray, found[0].astype(np.float32))):
            logit = np.asarray(plane.resize(size, Image.Resampling.BILINEAR))
            classes[logit > best], best = index, np.fmax(best, logit)
        return classes


if __name__ == "__main__":
    network = Network(Path(sys.argv[1]))
    mask = Image.fromarray(network.mask(network.picture(Path(sys.argv[2]))))
    mask.putpalette([value for colour in network.manifest["palette"] for value in colour])
    mask.save(sys.argv[3])
