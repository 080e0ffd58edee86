"""The images of rows: their encoded bytes, and decoded and transformed in batches, ahead of their use."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from tqdm.auto import tqdm

from ddgs_hub.errors import InputError
from ddgs_hub.rows import decode_image, undecoded

MAX_WORKERS = 16
PIXELS_WORTH_WORKERS = 50e6  # decoding these takes about as long as starting workers does: a second


def encoded_images(rows: Dataset, first: int = 0) -> Iterator[bytes]:
    """The encoded bytes of each row's image, as they are stored; messages number the rows from `first` on.

    Raises:
        InputError: a file that a row points to cannot be read.
    """
    for row, cell in enumerate(_cells(rows), first):
        image = cell["image"]
        try:
            yield image["bytes"] if image["bytes"] is not None else Path(image["path"]).read_bytes()
        except (OSError, TypeError) as error:
            raise InputError(f"the image of row {row} cannot be read ({error}): remove or replace that row") from error


def image_batches(
    rows: Dataset,
    transform: Callable[[Image], Tensor],
    batches: Sequence[NDArray[np.int64]],
    *,
    description: str,
    num_workers: int | None = None,
    pin_memory: bool = False,
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Decodes and transforms the images of each batch of row numbers, ahead of its use, with a progress bar.

    Args:
        rows: the column `image`; its bytes are left alone.
        transform: an RGB image → a tensor, of the same shape for all images, such as `(3, H, W)`.
        batches: row numbers; one batch after the other is yielded, in this order.
        description: what the progress bar says.
        num_workers: processes that decode; None: by the size of the data and the number of cores, 0 where it is small.
        pin_memory: whether the images go to a GPU.

    Yields:
        The row numbers, as they were given, and their images, stacked: `(B, 3, H, W)`.

    Raises:
        InputError: an image cannot be decoded; the message names its row.
    """
    loader = DataLoader(
        _Images(rows, transform),
        batch_sampler=[batch.tolist() for batch in batches],
        num_workers=_default_workers(rows) if num_workers is None else num_workers,
        collate_fn=_collate,
        pin_memory=pin_memory,
    )
    total = sum(map(len, batches))
    with tqdm(total=total, desc=description, unit="image", leave=False, delay=2, disable=None) as bar:
        for batch, images in zip(batches, loader, strict=True):
            if isinstance(images, str):
                raise InputError(images)
            yield batch, images
            bar.update(len(batch))


class _Images(TorchDataset):
    """Row number → transformed image; the message where it cannot be decoded."""

    def __init__(self, rows: Dataset, transform: Callable[[Image], Tensor]) -> None:
        self.cells = _cells(rows)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, row: int) -> Tensor | str:
        try:
            return self.transform(decode_image(self.cells[row]["image"], row))
        except InputError as error:  # raised in a worker, it would arrive with the worker's traceback as its message
            return str(error)


def _collate(images: list[Tensor | str]) -> Tensor | str:
    messages = [image for image in images if isinstance(image, str)]
    return messages[0] if messages else torch.stack([image for image in images if isinstance(image, Tensor)])


def _cells(rows: Dataset) -> Dataset:
    return undecoded(rows.with_format(None).select_columns("image"))


def _default_workers(rows: Dataset) -> int:
    width, height = decode_image(_cells(rows)[0]["image"], 0).size
    if width * height * len(rows) < PIXELS_WORTH_WORKERS:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    sharing = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes of a launch on this machine
    return min(max(cores // sharing, 1), MAX_WORKERS)
