import numpy as np
import pytest
from PIL import Image

from ddgs_hub.diffusion.pixels import center_crop


@pytest.mark.parametrize("size", [(300, 200), (64, 64), (50, 400), (33, 35)])
def test_center_crop_is_square_and_keeps_the_middle(size):
    image = Image.new("L", size)
    middle = size[0] // 2 - 2, size[1] // 2 - 2, size[0] // 2 + 2, size[1] // 2 + 2
    image.paste(255, middle)
    cropped = center_crop(image, 32)
    assert cropped.size == (32, 32)
    values = np.asarray(cropped).astype(float)
    center = (values.sum(axis=0) @ np.arange(32) / values.sum(), values.sum(axis=1) @ np.arange(32) / values.sum())
    assert center == pytest.approx((15.5, 15.5), abs=1)
