"""Defaults that the command line, recipes and Python share; others are their libraries' own."""

OUTPUT = "logits"
THRESHOLD = 0.5
"""Probability that the class of a binary network begins at."""
SAMPLES = 64
"""Images for calibration."""
SEED = 0
IO_TYPE = "fp32"
MIN_SELF_AGREEMENT = 95.0
"""Percent of pixels that match fp32."""
CONVERSION_IMAGES = 8
"""Images that judge a converted file."""
CONVERSION_AGREEMENT = 99.0
"""Percent of pixels that get the class onnxruntime gives them."""
