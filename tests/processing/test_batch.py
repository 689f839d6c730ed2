"""Pictures of one and of several sizes in a batch."""

from __future__ import annotations

import pytest
import torch

from tests.processing.pictures import noise
from tuwen.errors import UsageError
from tuwen.processing.batch import batch
from tuwen.processing.image import ImagePipeline

PADDING = ImagePipeline(None, pad=True)


def test_pictures_of_one_size_have_no_mask() -> None:
    images = batch([noise(5, 4), noise(5, 4, seed=1)], PADDING)
    assert images.pixels.shape == (2, 3, 4, 5)
    assert images.mask is None


def test_smaller_pictures_lie_at_the_top_left_of_zeros() -> None:
    pictures = [noise(5, 2), noise(3, 4, seed=1)]
    images = batch(pictures, PADDING)
    assert images.mask is not None
    assert images.pixels.shape == (2, 3, 4, 5) and images.mask.shape == (2, 4, 5)
    for row, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        alone = batch([picture], PADDING).pixels[0]
        assert torch.equal(images.pixels[row, :, :height, :width], alone)
        assert images.mask[row, :height, :width].all()
        assert images.mask[row].sum() == height * width
    assert (images.pixels[~images.mask[:, None].expand_as(images.pixels)] == 0).all()


def test_moving_a_batch_moves_its_mask() -> None:
    images = batch([noise(5, 2), noise(3, 4)], PADDING).to("meta")
    assert images.mask is not None
    assert images.pixels.device.type == images.mask.device.type == "meta"


def test_sizes_are_not_mixed_unless_the_pipeline_pads() -> None:
    with pytest.raises(UsageError, match="which make no batch"):
        batch([noise(5, 2), noise(3, 4)], ImagePipeline(None))
    with pytest.raises(UsageError, match="no pictures"):
        batch([], PADDING)
