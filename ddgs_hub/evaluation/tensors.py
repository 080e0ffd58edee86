"""Rows of a dataset as tensors in memory, decoded once for thousands of epochs."""

from collections.abc import Callable

import torch
from datasets import Dataset
from PIL.Image import Image
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import pil_to_tensor
from tqdm import tqdm

from ddgs_hub.core.decoding import decode_image
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import checked_labels, class_names, require_columns, undecoded
from ddgs_hub.recipe import Protocol


def to_tensors(
    rows: Dataset, prepare: Callable[[Image], Image], *, where: str, device: torch.device | str = "cpu"
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Decodes the images and checks the labels of a dataset.

    Args:
        rows: columns `image` and `label` (ClassLabel); others are left alone.
        prepare: applied once to each RGB image; made by `for_training` or `for_validation`.
        where: the name of the dataset in messages.
        device: where the tensors are kept.

    Returns:
        The images, uint8 `(3, h, w)` each, and the labels, int64 `(N,)`.

    Raises:
        InputError: there are no rows, a column is missing, an image cannot be decoded, or a label is none of the
            classes.
    """
    require_columns(rows, "image", "label", where=where)
    labels = checked_labels(rows, where)
    cells = undecoded(rows.select_columns("image"))
    images = []
    for row, cell in enumerate(tqdm(cells, desc=f"decode {where}", unit="image", leave=False, delay=2, disable=None)):
        image = prepare(decode_image(cell["image"], f"{row} of {where}"))
        images.append(pil_to_tensor(image).to(device))
    return images, torch.from_numpy(labels).to(device)


def for_training(protocol: Protocol) -> Callable[[Image], Image]:
    """Reduces the shorter side to what the smallest crop needs to fill the network's input; never enlarges.

    This limits the memory of large originals to about 0.4 MB an image at 224 px. No detail is lost: the smallest crop
    still has `image_size` pixels a side.
    """
    limit = round(protocol.image_size / protocol.crop_scale**0.5)
    resize = v2.Resize(limit, interpolation=v2.InterpolationMode.BICUBIC)
    return lambda image: resize(image) if min(image.size) > limit else image


def for_validation(protocol: Protocol) -> Callable[[Image], Image]:
    """Resizes the shorter side to `protocol.resize` and crops the center, `image_size` px square."""
    return v2.Compose([v2.Resize(protocol.resize), v2.CenterCrop(protocol.image_size)])


def same_classes(train: Dataset, validation: Dataset) -> list[str]:
    """Names of the classes that both datasets share.

    Raises:
        InputError: `label` is missing or no `ClassLabel`, or the two name different classes or another order of them.
    """
    names, others = class_names(train), class_names(validation)
    if names != others:
        raise InputError(
            f"the training images have the classes {_shortened(names)} and the validation images {_shortened(others)}: "
            "a label must mean the same class in both"
        )
    return names


def _shortened(names: list[str], most: int = 5) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" … ({rest} more)" if rest > 0 else "")
