"""Scoring: rows gain the column `difficulty` (Eq. 6)."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from datasets import Dataset
from numpy.typing import NDArray
from torch import Tensor

from ddgs_hub.difficulty.classes import class_wnids
from ddgs_hub.difficulty.progress import open_progress, progress_key
from ddgs_hub.difficulty.scorer import Scorer, fold_of, image_digest
from ddgs_hub.errors import InputError
from ddgs_hub.images import encoded_images, image_batches
from ddgs_hub.rows import checked_labels, class_names, require_columns

COLUMN = "difficulty"
TOLERANCE = 1e-3  # how far a difficulty may be from float32's
SAFETY = 2  # how many times the largest deviation of the first batch is allowed for
MIN_SAMPLE = 32  # images that tell how far bfloat16 deviates
MAX_REPEATED = 0.5  # share of images above which bfloat16, then float32 again, takes longer than float32 alone


def score(
    rows: Dataset,
    scorer: Scorer,
    *,
    batch_size: int = 128,
    num_workers: int | None = None,
    progress: str | Path | None = None,
) -> Dataset:
    """Adds `difficulty`, float32, 0 … 1: 1 − p(true class) under the scorer (Eq. 6).

    Images are decoded batch by batch, while the scorer works; the column `image` keeps its bytes. Where the hardware
    has bfloat16 it is used as far as it stays within 1e-3 of float32; see `Margins`. Under `accelerate launch` each
    process scores its share, and all return the whole column.

    Args:
        rows: columns `image`, `label` (ClassLabel) and, to find ImageNet's classes, `wnid`. A `difficulty` is replaced.
        scorer: the classifier, or a cross-fitted one.
        batch_size: images that are scored together.
        num_workers: processes that decode; None: by the size of the data and the number of cores, 0 where it is small.
        progress: a file that keeps what is scored, so that a killed call goes on from there; remove it when the rows
            are written.

    Raises:
        InputError: a column is missing, a label is outside the classes, the scorer does not know a class, an image
            cannot be decoded (the message names its row), the scorer returns no number for one, or `progress` cannot
            be written.
    """
    require_columns(rows, "image", "label")
    labels = checked_labels(rows)
    targets = scorer.class_indices(class_names(rows), class_wnids(rows, labels))[labels]
    digests = [image_digest(encoded) for encoded in encoded_images(rows)] if scorer.folds > 1 or progress else []
    folds = np.array([fold_of(digest, scorer.folds) for digest in digests] or [0] * len(rows))
    batches = [_split(np.flatnonzero(folds == k), batch_size) for k in range(scorer.folds)]
    difficulty = np.full(len(rows), np.nan, dtype=np.float32)
    if progress and PartialState().is_main_process:
        difficulty = open_progress(progress, progress_key(digests, targets, scorer, batch_size), len(rows))
    # The first batch of a model is always scored: what it tells about bfloat16 decides how the others are scored.
    todo = [b for of_fold in batches for k, b in enumerate(of_fold) if k == 0 or np.isnan(difficulty[b]).any()]
    [todo] = broadcast_object_list([todo])
    for batch, values in _scored(rows, scorer, targets, folds, todo, num_workers):
        difficulty[batch] = values
    [difficulty] = broadcast_object_list([np.array(difficulty)])
    broken = np.flatnonzero(np.isnan(difficulty))
    if broken.size:
        raise InputError(f"the scorer {scorer.name} returns no number for row {broken[0]}: its weights are broken")
    if COLUMN in rows.column_names:
        rows = rows.remove_columns(COLUMN)
    return rows.add_column(COLUMN, difficulty)


def margin(logits: Tensor, classes: Tensor) -> Tensor:
    """How far the true class is behind all others: m = log Σ_{k ≠ y} e^{z_k} − z_y.

    Eq. 6, D(x) = 1 − P(y_true | x), is σ(m), with all classes of the classifier in the softmax. Unlike 1 − p, it does
    not round a difficulty of 1e-12 to 0: Eq. 7 and 8 take logarithms of the smallest ones.

    Args:
        logits: z, float32, `(B, K)`.
        classes: y, the true class in the softmax, int64, `(B,)`.

    Returns:
        float32, `(B,)`.
    """
    index = classes[:, None]
    return logits.scatter(1, index, -torch.inf).logsumexp(1) - logits.gather(1, index).squeeze(1)


class Margins:
    """Margins under one model of a scorer: in bfloat16 where that settles the difficulty to 1e-3, else in float32.

    An error δ of the margin moves the difficulty by D(1 − D)·δ. bfloat16 keeps 8 bits of a weight, and δ comes out at
    0.02 … 0.07 (standard deviation; largest 0.25) for trained networks, so only images that are clearly easy or clearly
    hard are settled. The first batch is scored in both; twice its largest δ is allowed for from then on, and what that
    could move by more than 1e-3 is scored again in float32. If that is most of the first batch, all is float32.

    Args:
        scorer: the classifier.
        fold: which of its models.
    """

    def __init__(self, scorer: Scorer, fold: int) -> None:
        self.scorer = scorer
        self.fold = fold
        self.error = None if has_bfloat16(scorer.device) else torch.inf  # δ that is allowed for; None: not known yet

    def __call__(self, images: Tensor, classes: Tensor) -> Tensor:
        """Margins of transformed images `(B, 3, H, W)` and their true classes `(B,)`: float32, `(B,)`."""
        images, classes = self.scorer.to_device(images), classes.to(self.scorer.device)
        if self.error is None:
            return self._calibrate(images, classes)
        if self.error == torch.inf:
            return self._margin(images, classes)
        rough = self._margin(images, classes, bfloat16=True)
        doubtful = self._doubtful(rough, self.error)
        if doubtful.any():
            rough[doubtful] = self._margin(images[doubtful], classes[doubtful])
        return rough

    def _calibrate(self, images: Tensor, classes: Tensor) -> Tensor:
        exact = self._margin(images, classes)
        self.error = torch.inf
        if len(images) >= MIN_SAMPLE:
            rough = self._margin(images, classes, bfloat16=True)
            error = SAFETY * (rough - exact).abs().max().item()
            if self._doubtful(rough, error).float().mean() <= MAX_REPEATED:
                self.error = error
        return exact

    def _margin(self, images: Tensor, classes: Tensor, *, bfloat16: bool = False) -> Tensor:
        return margin(self.scorer.logits(images, self.fold, bfloat16=bfloat16), classes)

    @staticmethod
    def _doubtful(rough: Tensor, error: float) -> Tensor:
        difficulty = rough.sigmoid()
        return ~(difficulty * (1 - difficulty) * error <= TOLERANCE)  # so written, NaN is doubtful


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16, rather than emulating it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


def _split(chosen: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [chosen[start : start + size] for start in range(0, len(chosen), size)]


def _scored(
    rows: Dataset,
    scorer: Scorer,
    targets: NDArray[np.int64],
    folds: NDArray[np.int64],
    batches: list[NDArray[np.int64]],
    num_workers: int | None,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Row numbers and difficulties of each batch, in every process, whichever process scored it."""
    state = PartialState()
    margins = [Margins(scorer, k) for k in range(scorer.folds)]
    stream = image_batches(
        rows,
        scorer.transform,
        batches[state.process_index :: state.num_processes],
        description="score",
        num_workers=num_workers,
        pin_memory=scorer.device.type == "cuda",
    )
    for _ in range(0, len(batches), state.num_processes):
        part = []
        for batch, images in islice(stream, 1):  # the last round has none for some processes
            values = margins[folds[batch[0]]](images, torch.from_numpy(targets[batch]))
            part.append((batch, values.sigmoid().cpu().numpy()))
        yield from gather_object(part)
