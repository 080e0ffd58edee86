"""Scoring: rows gain the column `difficulty` (Eq. 6)."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from datasets import Dataset
from numpy.typing import NDArray

from ddgs_hub.difficulty.classes import class_wnids
from ddgs_hub.difficulty.margins import Margins, difficulties
from ddgs_hub.difficulty.progress import open_progress, progress_key
from ddgs_hub.difficulty.scorer import Scorer, fold_of, image_digest
from ddgs_hub.errors import InputError
from ddgs_hub.images import encoded_images, image_batches
from ddgs_hub.rows import checked_labels, class_names, require_columns

COLUMN = "difficulty"
ROUNDS_PER_GATHER = 16  # batches that each of several processes scores before all tell each other: seconds of work


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
    process scores its share, and all return the whole column; their number changes nothing in it.

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
    firsts = [of_fold[0] for of_fold in batches if of_fold]
    [others] = broadcast_object_list([[b for of in batches for b in of[1:] if np.isnan(difficulty[b]).any()]])
    with _full_float32():
        for batch, values in _scored(rows, scorer, targets, folds, firsts, others, num_workers):
            difficulty[batch] = values
    [difficulty] = broadcast_object_list([np.array(difficulty)])
    broken = np.flatnonzero(np.isnan(difficulty))
    if broken.size:
        raise InputError(f"the scorer {scorer.name} returns no number for row {broken[0]}: its weights are broken")
    if COLUMN in rows.column_names:
        rows = rows.remove_columns(COLUMN)
    return rows.add_column(COLUMN, difficulty)


def _split(chosen: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [chosen[start : start + size] for start in range(0, len(chosen), size)]


def _scored(
    rows: Dataset,
    scorer: Scorer,
    targets: NDArray[np.int64],
    folds: NDArray[np.int64],
    firsts: list[NDArray[np.int64]],
    others: list[NDArray[np.int64]],
    num_workers: int | None,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Row numbers and difficulties of each batch, in every process, whichever process scored it.

    Args:
        rows: with `image`.
        scorer: the classifier.
        targets: the true class of every row in the softmax, `(N,)`.
        folds: the fold of every row, `(N,)`.
        firsts: the first batch of each fold that has rows: they alone decide what is settled in bfloat16, for all
            processes, so that the difficulties do not depend on who scores what.
        others: the batches that are to be scored besides.
        num_workers: processes that decode.
    """
    state = PartialState()
    share = slice(state.process_index, None, state.num_processes)
    mine = [*firsts[share], *others[share]]
    pin_memory = scorer.device.type == "cuda"
    stream = image_batches(
        rows, scorer.transform, mine, description="score", num_workers=num_workers, pin_memory=pin_memory
    )
    margins = [Margins(scorer, k) for k in range(scorer.folds)]
    calibrated = []
    for batch, images in islice(stream, len(firsts[share])):
        of_fold = margins[folds[batch[0]]]
        values = of_fold.calibrate(images, torch.from_numpy(targets[batch])).sigmoid().numpy()
        calibrated.append((batch, values, of_fold.error))
    for batch, values, error in gather_object(calibrated):
        margins[folds[batch[0]]].error = error
        yield batch, values
    done = difficulties(stream, margins, targets, folds)
    if state.num_processes == 1:
        yield from done
        return
    most = -(-len(others) // state.num_processes)
    for _ in range(0, most, ROUNDS_PER_GATHER):
        yield from gather_object(list(islice(done, ROUNDS_PER_GATHER)))


@contextmanager
def _full_float32() -> Iterator[None]:
    """No TF32: it keeps 11 bits, and moves difficulties by more than `TOLERANCE`."""
    settings = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = settings
