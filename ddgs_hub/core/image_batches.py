"""The images of rows: their encoded bytes, or batches of them, decoded and transformed ahead of their use."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from ddgs_hub.core.decoding import decode_image, encoded_bytes
from ddgs_hub.core.progress import Progress
from ddgs_hub.core.rows import undecoded

MAX_WORKERS = 16
PIXELS_WORTH_WORKERS = 50e6  # to decode so many takes about as long as to start workers: a second


def encoded_images(rows: Dataset, first: int = 0) -> Iterator[bytes]:
    """The encoded bytes of each row's image, as they are stored.

    Args:
        rows: the column `image`.
        first: number of the first row, for messages.

    Raises:
        InputError: a row has no image; the message names the row.
    """
    for row, cell in enumerate(_cells(rows), first):
        yield encoded_bytes(cell["image"], row)


def image_batches(
    rows: Dataset,
    transform: Callable[[Image], Tensor],
    batches: Sequence[NDArray[np.int64]],
    *,
    progress: Progress | None = None,
    num_workers: int | None = None,
    pin_memory: bool = False,
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Decodes and transforms the images of batch after batch, ahead of their use.

    Args:
        rows: the column `image`.
        transform: RGB image → tensor, with the same shape for all images, such as `(3, H, W)`.
        batches: the row numbers of each batch.
        progress: counts the images; None: the caller counts, if anybody does.
        num_workers: processes that decode; None: as many as there are cores, or 0 for few pixels.
        pin_memory: whether the images go to a GPU.

    Yields:
        The row numbers of a batch, and its images stacked: `(B, 3, H, W)`.

    Raises:
        InputError: an image cannot be decoded; the message names its row.
    """
    loader = DataLoader(
        _Images(rows, transform),
        batch_sampler=[batch.tolist() for batch in batches],
        num_workers=_default_workers(rows) if num_workers is None else num_workers,
        collate_fn=torch.stack,
        pin_memory=pin_memory,
    )
    with progress or nullcontext():
        for batch, images in zip(batches, loader, strict=True):
            yield batch, images
            if progress:
                progress.update(len(batch))


class _Images(TorchDataset):
    """Row number → transformed image."""

    def __init__(self, rows: Dataset, transform: Callable[[Image], Tensor]) -> None:
        self.cells = _cells(rows)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, row: int) -> Tensor:
        return self.transform(decode_image(self.cells[row]["image"], row))


def _cells(rows: Dataset) -> Dataset:
    return undecoded(rows.with_format(None).select_columns("image"))


def _default_workers(rows: Dataset) -> int:
    width, height = decode_image(_cells(rows)[0]["image"], 0).size
    if width * height * len(rows) < PIXELS_WORTH_WORKERS:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    sharing = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes of a launch on this machine
    return min(max(cores // sharing, 1), MAX_WORKERS)
