"""Mask heads against torch: the same class wherever no two logits are tied."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper
from torch.nn import functional as F

from export.mask_head.heads import HEADS, with_head
from tests.export.build import computed, constant, model, operators, value

Logits = NDArray[np.float32]
CLASSES = 5


def ending(
    shape: tuple[int, int, int, int],
    size: tuple[int, int],
    *,
    mode: str = "half_pixel",
    by_scales: bool = False,
    resize: dict[str, Any] | None = None,
    argmax: dict[str, Any] | None = None,
    to: int = TensorProto.UINT8,
) -> ModelProto:
    """A network that is nothing but its end."""
    batch, classes = shape[:2]
    full = [batch, classes, *size]
    scales = np.array([1, 1, size[0] / shape[2], size[1] / shape[3]], np.float32)
    given = ["", "scales"] if by_scales else ["", "", "sizes"]
    options = {"mode": "linear", "coordinate_transformation_mode": mode, **(resize or {})}
    nodes = [
        helper.make_node("Identity", ["input"], ["small"], name="network"),
        helper.make_node("Resize", ["small", *given], ["large"], name="resize", **options),
        helper.make_node(
            "ArgMax", ["large"], ["best"], name="argmax",
            **{"axis": 1, "keepdims": 0, **(argmax or {})},
        ),
        helper.make_node("Cast", ["best"], ["mask"], name="cast", to=to),
    ]  # fmt: skip
    constants = [constant("scales", scales) if by_scales else constant("sizes", np.array(full))]
    output = value("mask", [batch, *size] if not argmax else [None] * 4, to)
    return model(nodes, [value("input", shape)], [output], constants)


def blobs(shape: tuple[int, int, int, int], seed: int = 0) -> Logits:
    """Logits of large areas, as a network gives them."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(*shape[:2], 3, 4, generator=generator)
    return F.interpolate(coarse, shape[2:], mode="bicubic").numpy()


def noise(shape: tuple[int, int, int, int], seed: int = 0) -> Logits:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def ended(original: ModelProto, form: str) -> ModelProto:
    found = with_head(original, form)
    assert found is not None
    return found[0]


def check(made: ModelProto, logits: Logits, size: tuple[int, int], aligned: bool) -> None:
    """Every pixel has the class that torch gives it, or one that is tied with it."""
    (mask,) = computed(made, input=logits)
    large = F.interpolate(
        torch.from_numpy(logits).double(), size, mode="bilinear", align_corners=aligned
    )
    found = large.gather(1, torch.from_numpy(mask.astype(np.int64))[:, None])[:, 0]
    gap = (large.amax(1) - found).numpy()
    assert mask.shape == (len(logits), *size)
    assert gap.max() <= 1e-4 * np.abs(logits).max()


@pytest.mark.parametrize("form", HEADS)
@pytest.mark.parametrize("mode", ["half_pixel", "align_corners", "pytorch_half_pixel"])
@pytest.mark.parametrize(
    ("small", "size"),
    [((33, 33), (513, 513)), ((32, 40), (200, 513)), ((16, 12), (49, 65)), ((2, 2), (30, 7))],
)
def test_classes_are_those_of_torch(
    form: str, mode: str, small: tuple[int, int], size: tuple[int, int]
) -> None:
    shape = (1, CLASSES, *small)
    original = ending(shape, size, mode=mode)
    made = ended(original, form)
    for logits in (blobs(shape), noise(shape), np.zeros(shape, np.float32)):
        check(made, logits, size, mode == "align_corners")


@pytest.mark.parametrize("form", HEADS)
def test_scales_are_as_good_as_sizes(form: str) -> None:
    shape, size = (1, CLASSES, 16, 16), (64, 96)
    made = ended(ending(shape, size, by_scales=True), form)
    check(made, blobs(shape), size, aligned=False)


@pytest.mark.parametrize("form", HEADS)
def test_asymmetric_positions_are_onnxruntimes(form: str) -> None:
    shape, size = (1, CLASSES, 16, 16), (64, 96)
    original = ending(shape, size, mode="asymmetric")
    made = ended(original, form)
    logits = blobs(shape)
    np.testing.assert_array_equal(*computed(made, input=logits), *computed(original, input=logits))


@pytest.mark.parametrize("form", HEADS)
def test_the_lowest_class_wins_an_exact_tie(form: str) -> None:
    shape, size = (1, CLASSES, 16, 16), (128, 128)
    logits = blobs(shape).round()  # few levels, as behind int8
    logits[:, 3] = logits[:, 1]
    made = ended(ending(shape, size), form)
    (mask,) = computed(made, input=logits)
    assert (mask == 1).sum() > 500
    assert not (mask == 3).any()


@pytest.mark.parametrize("form", HEADS)
def test_several_images_and_another_type(form: str) -> None:
    shape, size = (3, CLASSES, 8, 8), (64, 64)
    made = ended(ending(shape, size, to=TensorProto.INT64), form)
    logits = blobs(shape)
    check(made, logits, size, aligned=False)
    (mask,) = computed(made, input=logits)
    assert mask.dtype == np.int64


def test_cells_are_for_one_image_and_many_pixels_each() -> None:
    shapes = {(1, 16): "cells", (1, 48): "channels-last", (2, 16): "channels-last"}
    for (batch, side), form in shapes.items():
        found = with_head(ending((batch, CLASSES, side, side), (96, 96)), "cells")
        assert found is not None
        assert found[1] == form
        assert ("Resize" in operators(found[0])) is (form == "channels-last")


def test_openvino_gets_cells_of_two_pixels_or_what_was_exported() -> None:
    for (batch, side), form in {(1, 48): "cells", (1, 64): None, (2, 16): None}.items():
        found = with_head(ending((batch, CLASSES, side, side), (96, 96)), "cells-or-plain")
        assert (found and found[1]) == form


def test_what_nothing_reads_any_more_is_gone() -> None:
    made = ended(ending((1, CLASSES, 8, 8), (64, 64)), "cells")
    assert "sizes" not in {tensor.name for tensor in made.graph.initializer}
    assert operators(made)[0] == "Identity"


SHAPE, SIZE = (1, CLASSES, 8, 8), (64, 64)
STRETCHED = np.array([1, 1, 7.9, 7.9], np.float32)  # to 63.2, of which 63 pixels are taken
OTHER_ENDS = {
    "nearest": ending(SHAPE, SIZE, resize={"mode": "nearest"}),
    "cubic": ending(SHAPE, SIZE, resize={"mode": "cubic"}),
    "antialiased": ending(SHAPE, SIZE, resize={"antialias": 1}),
    "another axis": ending(SHAPE, SIZE, argmax={"axis": 2, "keepdims": 1}),
    "kept axis": ending(SHAPE, SIZE, argmax={"keepdims": 1}),
    "last of the ties": ending(SHAPE, SIZE, argmax={"select_last_index": 1, "keepdims": 1}),
    "scales that do not divide": ending(SHAPE, (63, 63), by_scales=True),
}


OTHER_ENDS["scales that do not divide"].graph.initializer[0].CopyFrom(constant("scales", STRETCHED))


@pytest.mark.parametrize("end", OTHER_ENDS)
def test_other_ends_stay(end: str) -> None:
    assert with_head(OTHER_ENDS[end], "cells") is None


def test_logits_that_are_an_output_stay() -> None:
    made = ending(SHAPE, SIZE)
    made.graph.output.append(value("large", [*SHAPE[:2], *SIZE]))
    assert with_head(made, "cells") is None


def test_sizes_that_may_vary_stay() -> None:
    made = ending(SHAPE, SIZE)
    made.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    assert with_head(made, "cells") is None


def test_plain_changes_nothing() -> None:
    assert with_head(ending(SHAPE, SIZE), "plain") is None
