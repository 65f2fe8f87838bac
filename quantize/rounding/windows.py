"""The inputs a convolution's output positions see, as columns of a matrix."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from quantize.statistics import Reduction, Shape

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Window:
    """Geometry of a 2-D convolution, all (height, width); `pads` as ONNX: top, left, bottom, right.

    `channels` is the number of input channels, `groups` how many groups share them.
    """

    channels: int
    groups: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]

    @property
    def depth(self) -> int:
        """Inputs that one output value sees."""
        return self.channels // self.groups * self.kernel[0] * self.kernel[1]

    def reduction(self, tensor: str, shape: Shape, side: int) -> Reduction:
        """Cut out what a grid of at most side x side output positions sees.

        The grid is fixed and evenly spread. Gives one tensor (batch, channels, rows * kernel
        height, columns * kernel width).
        """
        rows = self._indices(0, shape[2] or 0, side)
        columns = self._indices(1, shape[3] or 0, side)
        name = f"{tensor}::Windows{self.kernel}{self.strides}{self.dilations}{self.pads}{side}"
        constants: dict[str, tuple[int, ...]] = {f"{name}:rows": rows, f"{name}:columns": columns}
        nodes = []
        source = tensor
        if any(self.pads):
            top, left, bottom, right = self.pads
            constants[f"{name}:pads"] = (0, 0, top, left, 0, 0, bottom, right)
            nodes.append(helper.make_node("Pad", [source, f"{name}:pads"], [f"{name}:padded"]))
            source = f"{name}:padded"
        gathered = [(f"{name}:rows", f"{name}:lines", 2), (f"{name}:columns", name, 3)]
        for indices, result, axis in gathered:
            nodes.append(helper.make_node("Gather", [source, indices], [result], axis=axis))
            source = result
        return Reduction(nodes, [name], constants)

    def columns(self, cut: Floats) -> Floats:
        """Turn the reduction's tensor into float32 (groups, depth, batch * positions)."""
        high, wide = self.kernel
        batch, channels, height, width = cut.shape
        grid = cut.reshape(
            batch, self.groups, channels // self.groups, height // high, high, width // wide, wide
        )
        # depth in the order of a weight's axes: channel, kernel row, kernel column
        ordered = grid.transpose(1, 2, 4, 6, 0, 3, 5)
        return np.ascontiguousarray(ordered).reshape(self.groups, self.depth, -1)

    def _indices(self, axis: int, size: int, side: int) -> tuple[int, ...]:
        kernel, stride, dilation = self.kernel[axis], self.strides[axis], self.dilations[axis]
        padded = size + self.pads[axis] + self.pads[axis + 2]
        count = (padded - dilation * (kernel - 1) - 1) // stride + 1
        # centres of `side` equal parts, so that borders are not seen more often than they occur
        chosen = np.unique((np.arange(side) + 0.5) * count // side).astype(int)
        return tuple(
            int(position) * stride + step * dilation
            for position in chosen
            for step in range(kernel)
        )
