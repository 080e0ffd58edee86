"""Scoring: rows gain the column `difficulty` (Eq. 6)."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import broadcast_object_list, gather_object
from datasets import Dataset
from numpy.typing import NDArray

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.images import encoded_images, image_batches
from ddgs_hub.core.processes import get_state
from ddgs_hub.core.rows import checked_labels, class_names, require_columns
from ddgs_hub.difficulty.margins import Margins, difficulties
from ddgs_hub.difficulty.progress import open_progress, progress_key
from ddgs_hub.difficulty.scorer import Scorer, fold_of, image_digest
from ddgs_hub.difficulty.scorer_classes import class_wnids

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
    targets = scorer.class_indices(class_names(rows), class_wnids(rows, checked_labels(rows)))
    scoring = Scoring(scorer, targets, batch_size=batch_size, num_workers=num_workers)
    [difficulty] = scoring.add(rows, [range(len(rows))], [progress])
    return with_difficulty(rows, difficulty)


def with_difficulty(rows: Dataset, difficulty: NDArray[np.float32]) -> Dataset:
    """The rows with a column `difficulty`, which replaces one that is there."""
    if COLUMN in rows.column_names:
        rows = rows.remove_columns(COLUMN)
    return rows.add_column(COLUMN, difficulty)


class Scoring:
    """`score` of rows that are not all there yet: they come in parts, each cut into batches of its own.

    The first batch of each fold decides what is settled in bfloat16 for all parts, whoever scores them and whenever.

    Args:
        scorer: the classifier, or a cross-fitted one.
        targets: class of the softmax of each label, see `Scorer.class_indices`.
        batch_size: images that are scored together.
        num_workers: processes that decode; see `score`.
    """

    def __init__(
        self, scorer: Scorer, targets: NDArray[np.int64], *, batch_size: int = 128, num_workers: int | None = None
    ) -> None:
        self.scorer, self.targets, self.batch_size, self.num_workers = scorer, targets, batch_size, num_workers
        self.margins = [Margins(scorer, k) for k in range(scorer.folds)]
        self.calibrated: set[int] = set()

    def add(
        self, rows: Dataset, parts: Sequence[range], progress: Sequence[str | Path | None]
    ) -> list[NDArray[np.float32]]:
        """The difficulties of the parts that follow those of earlier calls; every process calls it alike.

        Args:
            rows: all rows that are there; messages number them from the first.
            parts: one or more, one behind the other: numbers of the rows.
            progress: for each part a file that keeps what is scored; see `score`.

        Raises:
            InputError: see `score`.
        """
        span, starts = range(parts[0].start, parts[-1].stop), [part.start for part in parts]
        targets, folds = np.zeros(span.stop, dtype=np.int64), np.zeros(span.stop, dtype=np.int64)
        difficulty = np.full(span.stop, np.nan, dtype=np.float32)
        kept, firsts, others = [], [], []
        for part, path in zip(parts, progress, strict=True):
            chosen, own = rows.select(part), slice(part.start, part.stop)
            targets[own] = self.targets[checked_labels(chosen, first=part.start)]
            known_by_bytes = encoded_images(chosen, first=part.start) if path or self.scorer.folds > 1 else ()
            digests = [image_digest(encoded) for encoded in known_by_bytes]
            folds[own] = [fold_of(digest, self.scorer.folds) for digest in digests] or 0
            if path and get_state().is_main_process:
                key = progress_key(digests, targets[own], self.scorer, self.batch_size)
                kept.append(open_progress(path, key, len(part)))
                difficulty[own] = kept[-1]
            for fold in range(self.scorer.folds):
                batches = _split(part.start + np.flatnonzero(folds[own] == fold), self.batch_size)
                if batches and fold not in self.calibrated:
                    # Always scored: what it tells about bfloat16 decides how the others are scored.
                    self.calibrated.add(fold)
                    firsts.append(batches.pop(0))
                others += batches
        [others] = broadcast_object_list([[batch for batch in others if np.isnan(difficulty[batch]).any()]])
        with _full_float32():
            for batch, values in self._scored(rows, targets, folds, firsts, others):
                difficulty[batch] = values
                if kept:
                    k = bisect_right(starts, batch[0]) - 1
                    kept[k][batch - starts[k]] = values
        [difficulty] = broadcast_object_list([difficulty])
        broken = span.start + np.flatnonzero(np.isnan(difficulty[span.start :]))
        if broken.size:
            name = self.scorer.name
            raise InputError(f"the scorer {name} returns no number for row {broken[0]}: its weights are broken")
        return [difficulty[part.start : part.stop] for part in parts]

    def _scored(
        self,
        rows: Dataset,
        targets: NDArray[np.int64],
        folds: NDArray[np.int64],
        firsts: list[NDArray[np.int64]],
        others: list[NDArray[np.int64]],
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Row numbers and difficulties of each batch, in every process, whichever process scored it.

        Args:
            rows: with `image`.
            targets: the true class of every row in the softmax, `(N,)`.
            folds: the fold of every row, `(N,)`.
            firsts: the first batch of folds of which none was scored before: they alone decide what is settled in
                bfloat16, for all processes, so that the difficulties do not depend on who scores what.
            others: the batches that are to be scored besides.
        """
        state, margins = get_state(), self.margins
        share = slice(state.process_index, None, state.num_processes)
        mine = [*firsts[share], *others[share]]
        stream = image_batches(
            rows,
            self.scorer.transform,
            mine,
            description="score",
            num_workers=self.num_workers,
            pin_memory=self.scorer.device.type == "cuda",
        )
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


def _split(chosen: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [chosen[start : start + size] for start in range(0, len(chosen), size)]


@contextmanager
def _full_float32() -> Iterator[None]:
    """No TF32: it keeps 11 bits, and moves difficulties by more than `TOLERANCE`."""
    settings = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = settings
