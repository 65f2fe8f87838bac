"""The steps of int8 quantization that can be taken or left, by name."""

from collections.abc import Sequence

from export.common.errors import UsageError, unknown
from quantize.rewrites.prepare import REWRITES
from quantize.rounding.rounding import METHODS as ROUNDINGS
from quantize.targets import Target

FOLD_CLIP = "fold-clip"
CORRECT_BIAS = "correct-bias"
METHODS: dict[str, str] = {
    "simplify-pooling": "compute adaptive pooling, exported as many nodes, by one convolution",
    "sub-pixel-conv": "let a convolution and a DepthToSpace do what a ConvTranspose does",
    "gelu": "order the factors of a GELU so that one kernel computes it",
    "repair-dead-channels": "set weights that are next to zero to zero, so that scales hold",
    "equalize": "cross-layer equalization: make the channels of each weight tensor alike",
    "absorb-bias": "move the constant part of channels that are always on into the next bias",
    "convolve-before-resize": "let a convolution behind a Resize work on the small rows",
    "hard-sigmoid": "write HardSigmoid and HardSwish as products and sums that int8 has",
    "write-out-prelu": "compute PRelu by convolutions of one channel and Relu, which are faster",
    FOLD_CLIP: "leave out a Relu or Clip that the quantized range replaces",
    "gptq": "round weights so that the layer's output keeps its values (error compensation)",
    "adaround": "learn for each weight whether to round up or down, in place of gptq; slow",
    CORRECT_BIAS: "empirical bias correction on calibration images; slow",
}
"""In the order they are applied; what each does."""

assert {*REWRITES, *ROUNDINGS} <= METHODS.keys()


def chosen_methods(target: Target, added: Sequence[str], skipped: Sequence[str]) -> tuple[str, ...]:
    """Return the target's own methods with some more and some less, in their order.

    Of the rounding methods one added replaces the target's. Raises UsageError for an unknown
    name, one both added and skipped, and two rounding methods.
    """
    for name in (*added, *skipped):
        if name not in METHODS:
            raise UsageError(unknown("method", name, METHODS))
    both = sorted(set(added) & set(skipped))
    if both:
        raise UsageError(f"--with {both[0]} and --skip {both[0]}: choose one of them")
    roundings = [name for name in added if name in ROUNDINGS]
    if len(set(roundings)) > 1:
        raise UsageError(f"--with {roundings[0]} and {roundings[1]}: weights are rounded only once")
    own = [name for name in target.methods if not (roundings and name in ROUNDINGS)]
    wanted = {*own, *added} - set(skipped)
    return tuple(name for name in METHODS if name in wanted)


def rounding_method(methods: Sequence[str]) -> str | None:
    """Return the rounding method among `methods`; None rounds to nearest."""
    return next((name for name in methods if name in ROUNDINGS), None)
