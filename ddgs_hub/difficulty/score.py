"""Scoring: rows gain the column `difficulty` (Eq. 6)."""

import os
from collections.abc import Iterator

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from datasets import Dataset
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from tqdm.auto import tqdm

from ddgs_hub.difficulty.images import checked_labels, class_wnids, encoded_images
from ddgs_hub.difficulty.scorer import Scorer, fold_of
from ddgs_hub.errors import InputError
from ddgs_hub.rows import class_names, decode_image, undecoded

COLUMN = "difficulty"
MAX_WORKERS = 8
PIXELS_WORTH_WORKERS = 50e6  # decoding these takes about as long as starting workers does: a second


def score(rows: Dataset, scorer: Scorer, *, batch_size: int = 128, num_workers: int | None = None) -> Dataset:
    """Adds `difficulty`, float32, 0 … 1: 1 − p(true class) under the scorer (Eq. 6).

    Images are decoded batch by batch, while the scorer works; the column `image` keeps its bytes. In bfloat16 where the
    hardware has it (see `has_bfloat16`). Under `accelerate launch` each process scores its share, and all return the
    whole column.

    Args:
        rows: columns `image`, `label` (ClassLabel) and, to find ImageNet's classes, `wnid`. A `difficulty` is replaced.
        scorer: the classifier, or a cross-fitted one.
        batch_size: images that are scored together.
        num_workers: processes that decode; None: by the size of the data and the number of cores, 0 where it is small.

    Raises:
        InputError: a column is missing, a label is outside the classes, the scorer does not know a class, an image
            cannot be decoded (the message names its row), or the scorer returns no number for one.
    """
    labels = checked_labels(rows)
    targets = scorer.class_indices(class_names(rows), class_wnids(rows, labels))[labels]
    folds = _folds(rows, scorer.folds)
    state = PartialState()
    batches = [b for k in range(scorer.folds) for b in _batches(np.flatnonzero(folds == k), batch_size)]
    mine = batches[state.process_index :: state.num_processes]
    parts = list(_score_batches(rows, scorer, targets, folds, mine, num_workers))
    difficulty = np.empty(len(rows), dtype=np.float32)
    for batch, values in gather_object(parts):
        difficulty[batch] = values
    if not np.isfinite(difficulty).all():
        row = int(np.flatnonzero(~np.isfinite(difficulty))[0])
        raise InputError(f"the scorer {scorer.name} returns no number for row {row}: its weights are broken")
    if COLUMN in rows.column_names:
        rows = rows.remove_columns(COLUMN)
    return rows.add_column(COLUMN, difficulty)


def difficulty_of(logits: Tensor, classes: Tensor) -> Tensor:
    """Eq. 6: D(x) = 1 − P(y_true | x), with all classes of the classifier in the softmax.

    Written as σ(log Σ_{k ≠ y} e^{z_k} − z_y), so a difficulty of 1e-12 is not rounded to 0 as 1 − p would be: Eq. 7
    and 8 take logarithms of the smallest ones.

    Args:
        logits: z, float32, `(B, K)`.
        classes: y, the true class in the softmax, int64, `(B,)`.

    Returns:
        float32, `(B,)`, 0 … 1.
    """
    index = classes[:, None]
    others = logits.scatter(1, index, -torch.inf).logsumexp(1)
    return torch.sigmoid(others - logits.gather(1, index).squeeze(1))


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 faster than in float32, rather than emulating it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


def _score_batches(
    rows: Dataset,
    scorer: Scorer,
    targets: NDArray[np.int64],
    folds: NDArray[np.int64],
    batches: list[NDArray[np.int64]],
    num_workers: int | None,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Row numbers and difficulties, batch by batch."""
    loader = DataLoader(
        _Images(rows, scorer),
        batch_sampler=batches,
        num_workers=_default_workers(rows) if num_workers is None else num_workers,
        collate_fn=_collate,
        pin_memory=scorer.device.type == "cuda",
    )
    bfloat16 = has_bfloat16(scorer.device)
    total = sum(map(len, batches))
    with tqdm(total=total, desc="score", unit="image", leave=False, delay=2) as bar:
        for batch, images in zip(batches, loader, strict=True):
            if isinstance(images, str):
                raise InputError(images)
            logits = scorer.logits(images, int(folds[batch[0]]), bfloat16=bfloat16)
            classes = torch.from_numpy(targets[batch]).to(scorer.device)
            yield batch, difficulty_of(logits, classes).cpu().numpy()
            bar.update(len(batch))


class _Images(TorchDataset):
    """Rows → transformed images; the message where one cannot be decoded."""

    def __init__(self, rows: Dataset, scorer: Scorer) -> None:
        self.cells = undecoded(rows.with_format(None).select_columns("image"))
        self.transform = scorer.transform

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, row: int) -> Tensor | str:
        try:
            return self.transform(decode_image(self.cells[row]["image"], row))
        except InputError as error:  # raised in a worker, it would arrive with the worker's traceback as its message
            return str(error)


def _collate(images: list[Tensor | str]) -> Tensor | str:
    return next((image for image in images if isinstance(image, str)), None) or torch.stack(images)


def _batches(chosen: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [chosen[start : start + size] for start in range(0, len(chosen), size)]


def _folds(rows: Dataset, count: int) -> NDArray[np.int64]:
    """The fold of each row's image, `(N,)`."""
    if count == 1:
        return np.zeros(len(rows), dtype=np.int64)
    return np.fromiter((fold_of(encoded, count) for encoded in encoded_images(rows)), dtype=np.int64, count=len(rows))


def _default_workers(rows: Dataset) -> int:
    width, height = decode_image(undecoded(rows.with_format(None).select_columns("image"))[0]["image"], 0).size
    if width * height * len(rows) < PIXELS_WORTH_WORKERS:
        return 0
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, MAX_WORKERS)
