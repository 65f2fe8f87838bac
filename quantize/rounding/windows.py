"""The inputs a convolution's output positions see, as columns of a matrix."""

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from quantize.calibration.statistics import Reduction, Tensor

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

    def reduction(self, tensor: Tensor, side: int) -> Reduction:
        """Pick what a grid of at most side x side output positions sees.

        The grid is fixed and evenly spread. Gives one tensor (batch, channels, rows, columns)
        per kernel position, made by operators that read the layout onnxruntime's convolutions
        write; with a Gather the whole tensor would be copied to the standard layout first.
        """
        # behind a loop, or a reshape by data, onnx cannot tell a shape
        sides = tensor.shape[2:] if len(tensor.shape) == 4 else (None, None)
        strides = [self._stride(axis, sides[axis], side) for axis in (0, 1)]
        name = f"{tensor.name}::Window{self.kernel}{strides}{self.dilations}{self.pads}"
        if self.kernel == (1, 1) and not any(self.pads):
            pool = helper.make_node(
                "MaxPool", [tensor.name], [name], kernel_shape=[1, 1], strides=strides
            )
            return Reduction([pool], [name])
        nodes, constants = [], {}
        for index in range(prod(self.kernel)):
            weight = f"segport_pick{index}{self.kernel}{self.channels}"
            constants[weight] = self._pick(index)
            nodes.append(
                helper.make_node(
                    "Conv",
                    [tensor.name, weight],
                    [f"{name}{index}"],
                    group=self.channels,
                    kernel_shape=self.kernel,
                    strides=strides,
                    dilations=self.dilations,
                    pads=self.pads,
                )
            )
        return Reduction(nodes, [node.output[0] for node in nodes], constants)

    def columns(self, *picked: Floats) -> Floats:
        """Turn the reduction's tensors into float32 (groups, depth, batch * positions)."""
        # depth in the order of a weight's axes: channel, kernel row, kernel column
        windows = np.stack(picked, axis=2)
        split = windows.reshape(len(windows), self.groups, self.depth, -1)
        return split.transpose(1, 2, 0, 3).reshape(self.groups, self.depth, -1)

    def _pick(self, index: int) -> Floats:
        """Weights of a depthwise convolution that copies one position of its window."""
        weight = np.zeros((self.channels, 1, prod(self.kernel)), np.float32)
        weight[:, :, index] = 1
        return weight.reshape(self.channels, 1, *self.kernel)

    def _stride(self, axis: int, size: int | None, side: int) -> int:
        if size is None:
            return self.strides[axis]  # all positions
        padded = size + self.pads[axis] + self.pads[axis + 2]
        reach = self.dilations[axis] * (self.kernel[axis] - 1) + 1
        count = (padded - reach) // self.strides[axis] + 1
        return self.strides[axis] * -(-count // side)
