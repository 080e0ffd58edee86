"""Rows of a dataset as tensors in memory, decoded once for thousands of epochs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from datasets import Dataset
from PIL.Image import Image
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import pil_to_tensor

from ddgs_hub.core.decoding import decode_image
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.progress import Progress
from ddgs_hub.core.rows import checked_labels, class_names, require_columns, undecoded
from ddgs_hub.core.soft_labels import soft_targets
from ddgs_hub.recipe import Protocol


@dataclass(frozen=True)
class Examples:
    """Images and labels of a dataset on one device, decoded once for thousands of epochs and any number of networks.

    The pixels of all images lie one after the other: a single very wide image takes its own room, not that of a canvas
    for all of them.
    """

    pixels: torch.Tensor  # uint8 (P,): the images in order, each (3, h, w), RGB
    sizes: torch.Tensor  # int64 (N, 2), height and width in px; on the CPU, where crops are drawn
    labels: torch.Tensor  # int64 (N,), on the device of the pixels
    targets: torch.Tensor | None = None  # soft labels, float32 (N, classes), rows sum to 1, on the same device

    def __len__(self) -> int:
        return len(self.sizes)

    @cached_property
    def stack(self) -> torch.Tensor | None:
        """The images as one tensor, uint8 `(N, 3, h, w)`, a view; None where they differ in size."""
        height, width = self.sizes[0].tolist()
        alike = bool((self.sizes == self.sizes[0]).all())
        return self.pixels.view(len(self), 3, height, width) if alike else None

    @cached_property
    def starts(self) -> torch.Tensor:
        """Where each image begins in `pixels`, int64 `(N,)`, on the CPU."""
        counts = 3 * self.sizes.prod(1)
        return counts.cumsum(0) - counts


def pack(
    images: Iterable[Image],
    labels: torch.Tensor,
    device: torch.device | str = "cpu",
    targets: torch.Tensor | None = None,
) -> Examples:
    """RGB images of any sizes, int64 `(N,)` of their labels, and soft labels, as `Examples` on a device."""
    pixels, sizes = bytearray(), []  # grows in place: a list of tensors would be copied whole to be joined
    for image in images:
        pixels += pil_to_tensor(image).numpy().tobytes()
        sizes.append((image.height, image.width))
    packed = torch.frombuffer(pixels, dtype=torch.uint8).to(device)
    return Examples(packed, torch.tensor(sizes), labels.to(device), None if targets is None else targets.to(device))


def load_examples(
    rows: Dataset, protocol: Protocol, *, training: bool, where: str, device: torch.device | str | None = None
) -> Examples:
    """Decodes the images and checks the labels of a dataset.

    What is loaded serves every protocol with the same `image_size`, `crop_scale` and `labels` (training) or `crop_pct`
    (validation): any network, seed and number of epochs.

    Args:
        rows: columns `image` and `label` (ClassLabel), and those of soft labels where the protocol trains on them;
            others are left alone.
        protocol: decides the size that the images are kept at.
        training: keep what random crops need, see `for_training`; else what a test needs, see `for_validation`.
        where: the name of the dataset in messages.
        device: where the tensors are kept; None: a GPU where there is one.

    Raises:
        InputError: there are no rows, a column is missing, an image cannot be decoded, a label is none of the
            classes, or soft labels are wanted, and missing or wrong (see `soft_targets`).
    """
    require_columns(rows, "image", "label", where=where)
    labels, targets = torch.from_numpy(checked_labels(rows, where)), None
    if training and protocol.labels == "soft":
        targets = torch.from_numpy(soft_targets(rows, where))
    prepare = (for_training if training else for_validation)(protocol)
    cells = undecoded(rows.select_columns("image"))
    decoded = Progress(f"decode {where}", len(rows), unit="image").over(cells)
    images = (prepare(decode_image(cell["image"], f"{row} of {where}")) for row, cell in enumerate(decoded))
    return pack(images, labels, device or default_device(), targets)


def default_device() -> torch.device:
    """A GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def images_per_class(rows: Dataset) -> int:
    """IPC of a dataset: the number of images of its largest class.

    The largest, so that a set which lacks an image somewhere is still of its IPC, and the classes of a full dataset,
    which differ in size, share one schedule.

    Raises:
        InputError: there are no rows, `label` is missing or is no `ClassLabel`, or a label is none of the classes.
    """
    return int(np.bincount(checked_labels(rows)).max())


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


def same_classes(train: Dataset, validation: Dataset, where: str = "the training images") -> list[str]:
    """Names of the classes that both datasets share; `where` is the name of the first in messages.

    Raises:
        InputError: `label` is missing or no `ClassLabel`, or the two name different classes or another order of them.
    """
    names, others = class_names(train), class_names(validation)
    if names != others:
        raise InputError(
            f"the classes of {where} are {_shortened(names)} and those of the validation images {_shortened(others)}: "
            "a label must mean the same class in both"
        )
    return names


def _shortened(names: list[str], most: int = 5) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" … ({rest} more)" if rest > 0 else "")
