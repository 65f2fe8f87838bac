"""The table of rewrites of the float network; `quantize.rewrites.prepare` applies them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from export.common.tables import Lazy

if TYPE_CHECKING:
    from onnx import ModelProto

    from quantize.rewrites.change import Rewritten


def nothing(model: "ModelProto") -> set[str]:
    """Return no tensors, for `Rewrite.needs`."""
    return set()


@dataclass(frozen=True)
class Rewrite:
    """`needs` names the tensors whose channels must have been seen; `apply` changes the network.

    Both take a float network with inferred shapes. `images` says how many it is enough to have
    seen, None for all. One for operators that few networks have is `silent` about finding none.
    Those `of_input` are given the artifact's input (`InputSpec`) in place of what was seen.
    """

    help: str
    apply: "Callable[[ModelProto, Any], Rewritten]"
    needs: "Callable[[ModelProto], set[str]]" = nothing
    images: int | None = None
    silent: bool = False
    of_input: bool = False


_INPUTS_OF = Lazy("quantize.rewrites.change:inputs_of")

REWRITES: dict[str, Rewrite] = {
    "simplify-pooling": Rewrite(
        "compute adaptive pooling, exported as many nodes, by one convolution",
        Lazy("quantize.rewrites.operators.pooling:simplify_pooling"),
        silent=True,
    ),
    "sub-pixel-conv": Rewrite(
        "let a convolution and a DepthToSpace do what a ConvTranspose does",
        Lazy("quantize.rewrites.operators.sub_pixel_conv:sub_pixel_conv"),
        silent=True,
    ),
    "gelu": Rewrite(
        "order the factors of a GELU so that one kernel computes it",
        Lazy("quantize.rewrites.operators.gelu:order_gelu"),
        silent=True,
    ),
    "repair-dead-channels": Rewrite(
        "set weights that are next to zero to zero, so that scales hold",
        Lazy("quantize.rewrites.dead_channels:repair_dead_channels"),
        Lazy("quantize.rewrites.dead_channels:suspicious_inputs"),
        images=4,
    ),
    "convolve-batch-norm": Rewrite(
        "compute batch normalization that is left by a convolution of one pixel",
        Lazy("quantize.rewrites.operators.batch_norm:convolve_batch_norm"),
        silent=True,
    ),
    "equalize": Rewrite(
        "cross-layer equalization: make the channels of each weight tensor alike",
        Lazy("quantize.rewrites.equalization:equalize"),
        partial(_INPUTS_OF, ("Clip", "Conv", "BatchNormalization")),
    ),
    "absorb-bias": Rewrite(
        "move the constant part of channels that are always on into the next bias",
        Lazy("quantize.rewrites.bias_absorption:absorb_high_bias"),
        partial(_INPUTS_OF, ("Relu", "Clip")),
    ),
    "convolve-before-resize": Rewrite(
        "let a convolution behind a Resize work on the small rows",
        Lazy("quantize.rewrites.upsampled_conv:convolve_before_resize"),
    ),
    # behind those that look at a Clip's channels: its own Clips were not there when these were seen
    "hard-sigmoid": Rewrite(
        "write HardSigmoid and HardSwish as products and sums that int8 has",
        Lazy("quantize.rewrites.operators.hard_sigmoid:write_out_hard_sigmoid"),
        silent=True,
    ),
    "write-out-prelu": Rewrite(
        "compute PRelu by convolutions of one channel and Relu, which are faster",
        Lazy("quantize.rewrites.operators.prelu:write_out_prelu"),
        silent=True,
    ),
    "read-pixels": Rewrite(
        "let the first convolution read pixels, which int8 holds without rounding",
        Lazy("quantize.rewrites.pixels:read_pixels"),
        silent=True,
        of_input=True,
    ),
}
"""In the order they are applied."""
