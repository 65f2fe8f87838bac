"""Cost of a torch network, by operator, without running it.

Two conventions, which must not be confused:

* `macs`: multiply-accumulates of convolutions and matrix products of one image, bias not
  counted. One MAC is one, not two. This is what papers and torchvision call "FLOPs".
* `thop`: what the THOP package counts, which the published DeepLab table was made with:
  the above + 4 per BatchNorm input value + (window area + 1) per output value of a global
  average pooling. The table's FLOPs column is this figure divided by 4.5e8.

Operators that move data only are free. Every other operator that has no rule here is
reported in `uncounted` by name and number of calls, never silently taken as zero.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

PUBLISHED_DIVISOR = 4.5e8
"""MACs of the THOP convention per unit of the published FLOPs column."""


@dataclass(frozen=True)
class Cost:
    """Cost of one image. `uncounted` maps operator names to calls without a counting rule."""

    params: int
    macs: int
    thop: int
    uncounted: dict[str, int]

    @property
    def flops_published(self) -> float:
        """The figure as the published table prints it (G, its own unit)."""
        return self.thop / PUBLISHED_DIVISOR


def _convolution(args: Sequence[Any], out: Tensor) -> int:
    weight, transposed = args[1], args[6]
    positions = args[0] if transposed else out
    return int(positions.shape[0] * positions[0, 0].numel() * weight.numel())


def _matmul(args: Sequence[Any], out: Tensor) -> int:
    return int(out.numel() * args[0].shape[-1])


def _addmm(args: Sequence[Any], out: Tensor) -> int:
    return int(out.numel() * args[1].shape[-1])


def _attention(args: Sequence[Any], out: Any) -> int:
    """Count queries x keys, and the weights x values; each (batch, heads, tokens, width)."""
    query, key, value = args[:3]
    pairs = query[..., 0].numel() * key.shape[-2]
    return int(pairs * (key.shape[-1] + value.shape[-1]))


def _batch_norm(args: Sequence[Any], out: tuple[Tensor, ...]) -> int:
    return int(4 * args[0].numel())


def _mean(args: Sequence[Any], out: Tensor) -> int:
    return int(args[0].numel() + out.numel())


Rule = Callable[[Sequence[Any], Any], int]

MAC_RULES: dict[str, Rule] = {
    "aten::convolution": _convolution,
    "aten::mm": _matmul,
    "aten::bmm": _matmul,
    "aten::addmm": _addmm,
    "aten::baddbmm": _addmm,
    "aten::mv": _matmul,
    "aten::dot": _matmul,
    # which of them a call becomes depends on device and type
    "aten::_scaled_dot_product_flash_attention_for_cpu": _attention,
    "aten::_scaled_dot_product_flash_attention": _attention,
    "aten::_scaled_dot_product_efficient_attention": _attention,
    "aten::_scaled_dot_product_cudnn_attention": _attention,
    "aten::_scaled_dot_product_fused_attention_overrideable": _attention,
}
THOP_EXTRA_RULES: dict[str, Rule] = {
    "aten::native_batch_norm": _batch_norm,
    "aten::_native_batch_norm_legit_no_training": _batch_norm,
    "aten::cudnn_batch_norm": _batch_norm,
    "aten::mean": _mean,
}
FREE = frozenset(
    "aten::" + name
    for name in (
        "alias", "cat", "clone", "constant_pad_nd", "copy_", "detach", "empty", "expand",
        "permute", "select", "slice", "split", "squeeze", "stack", "t", "_to_copy", "transpose",
        "unsqueeze", "view", "_unsafe_view",
    )
)  # fmt: skip


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0
        self.extra = 0
        self.uncounted: Counter[str] = Counter()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = func.name().split(".")[0]
        if THOP_EXTRA_RULES.get(name) is _batch_norm and args[0].is_meta:
            # torch decomposes it into a dozen operators there, most of the time of a count
            out: Any = (torch.empty_like(args[0]), args[3], args[4])
        else:
            out = func(*args, **(kwargs or {}))
        if rule := MAC_RULES.get(name):
            self.macs += rule(args, out)
        elif rule := THOP_EXTRA_RULES.get(name):
            self.extra += rule(args, out)
        elif name not in FREE:
            self.uncounted[name.removeprefix("aten::").rstrip("_")] += 1
        return out


def torch_cost(network: nn.Module, size: tuple[int, int]) -> Cost:
    """Count one 3 x height x width image through `network`.

    `network` may lie on torch's meta device; then nothing is computed and no memory is used.
    It is counted in eval mode, as it is deployed.
    """
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    image = torch.empty(1, 3, *size, device=device)
    training = network.training
    network.eval()
    with torch.no_grad(), _Counter() as counter:
        network(image)
    network.train(training)
    params = sum(p.numel() for p in network.parameters())
    return Cost(params, counter.macs, counter.macs + counter.extra, dict(counter.uncounted))
