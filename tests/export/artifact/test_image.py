import numpy as np
import torch
from torchvision.transforms import functional

from export.artifact.image import normalised, synthetic_images

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def test_normalised_is_what_torchvision_does() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (17, 23, 3), dtype=np.uint8)

    found = normalised(picture, MEAN, STD)

    tensor = functional.normalize(functional.to_tensor(picture), list(MEAN), list(STD))
    assert found.shape == (1, 3, 17, 23)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_allclose(torch.from_numpy(found)[0], tensor, atol=2e-6)


def test_synthetic_images_are_seeded_and_differ() -> None:
    first = list(synthetic_images(3, (40, 56), seed=1))
    again = list(synthetic_images(3, (40, 56), seed=1))
    other = next(synthetic_images(1, (40, 56), seed=2))

    assert [picture.shape for picture in first] == [(40, 56, 3)] * 3
    assert all(picture.dtype == np.uint8 for picture in first)
    np.testing.assert_array_equal(first, again)
    assert (first[0] != first[1]).mean() > 0.5
    assert (first[0] != other).mean() > 0.5
    # not flat: a picture that spans the range is what makes a comparison worth something
    assert all(np.ptp(picture) > 150 for picture in first)
