"""Images as an autoencoder takes them: square, of one size, and as floats −1 … 1."""

import numpy as np
import torch
from datasets import Dataset
from PIL import Image as PILImage
from torch import Tensor

from ddgs_hub.core.decoding import decode_image
from ddgs_hub.core.progress import Progress
from ddgs_hub.core.rows import undecoded


def center_crop(image: PILImage.Image, size: int) -> PILImage.Image:
    """A square of `size` px from the middle of an image, as ADM and DiT crop (Dhariwal & Nichol 2021).

    The image is halved with a box filter while its shorter side is at least 2 · `size`, then resized bicubically so
    that the shorter side is `size`. This is not torchvision's resize and center crop, and gives other pixels.
    """
    while min(image.size) >= 2 * size:
        image = image.resize((image.width // 2, image.height // 2), PILImage.Resampling.BOX)
    scale = size / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), PILImage.Resampling.BICUBIC)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))


def cropped_images(rows: Dataset, size: int) -> Tensor:
    """All images of a dataset, center-cropped: uint8, `(N, 3, size, size)`.

    Raises:
        InputError: an image cannot be decoded; the message names its row.
    """
    images = np.empty((len(rows), size, size, 3), dtype=np.uint8)
    cells = undecoded(rows.select_columns("image"))
    for row, cell in enumerate(Progress("decode", len(rows), unit="image").over(cells)):
        images[row] = np.asarray(center_crop(decode_image(cell["image"], row), size))
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def to_float(images: Tensor) -> Tensor:
    """uint8 images as float32, −1 … 1."""
    return images.float() / 127.5 - 1
