"""The embedded default: generated scenes and a network trained on such scenes."""

from pathlib import Path

MODEL = "deeplabv3_mobilenet"
WEIGHTS = Path(__file__).parent / "deeplabv3_mobilenet.safetensors"
"""A checkpoint in float16, made by benchmarks/train_demo.py."""

SCENES = {"train": 32, "val": 40}
"""Scenes of the demo by split: calibration and validation."""
