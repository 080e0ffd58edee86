"""Scoring: rows gain the column `difficulty` (Eq. 6), and soft labels where they are asked for."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from accelerate.utils import broadcast_object_list, gather_object
from datasets import Dataset
from numpy.typing import NDArray

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.image_batches import encoded_images, image_batches
from ddgs_hub.core.processes import get_state
from ddgs_hub.core.progress import Progress
from ddgs_hub.core.rows import checked_labels, class_names, require_columns
from ddgs_hub.difficulty.margins import Margins
from ddgs_hub.difficulty.progress import open_progress, progress_key
from ddgs_hub.difficulty.scorer import Scorer, fold_of, image_digest
from ddgs_hub.difficulty.scorer_classes import class_wnids
from ddgs_hub.difficulty.scores import Scores, with_scores, with_top_classes

ROUNDS_PER_GATHER = 16  # batches that each of several processes scores before they exchange results: seconds of work
ScoredBatch: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float32]]  # row numbers `(B,)`, scores `(B, 1 + 2k)`


def score(
    rows: Dataset,
    scorer: Scorer,
    *,
    batch_size: int = 128,
    num_workers: int | None = None,
    progress: str | Path | None = None,
    soft_labels: int | None = None,
) -> Dataset:
    """Adds `difficulty`, float32, 0 … 1: 1 − p(true class) under the scorer (Eq. 6).

    Images are decoded batch by batch, while the scorer works; the column `image` keeps its bytes. Where the hardware
    has bfloat16, it is used where it stays within 1e-3 of float32; see `Margins`. Under `accelerate launch` each
    process scores a share, and all return the whole column; the number of processes changes nothing in it.

    Args:
        rows: columns `image`, `label` (ClassLabel) and, to find ImageNet's classes, `wnid`. A `difficulty` and soft
            labels are replaced.
        scorer: the classifier, or a cross-fitted one.
        batch_size: images that are scored together.
        num_workers: processes that decode; None: by the size of the data and the number of cores, 0 where it is small.
        progress: a file that keeps the difficulties, so that a killed call resumes from there. Remove it when the rows
            are written.
        soft_labels: k: also adds `soft_label_classes`, the k labels that are most probable under the dataset's own
            classes, and `soft_label_probabilities`, float16, see `with_top_classes`. All is then float32. None: not.

    Raises:
        InputError: a column is missing, a label is outside the classes, the scorer does not know a class, there are
            fewer classes than soft labels, an image cannot be decoded (the message names its row), the scorer returns
            no number for one, or `progress` cannot be written.
    """
    require_columns(rows, "image", "label")
    targets = scorer.class_indices(class_names(rows), class_wnids(rows, checked_labels(rows)))
    with Progress("score", len(rows), unit="image") as counter:
        scoring = Scoring(
            scorer, targets, counter, batch_size=batch_size, num_workers=num_workers, soft_labels=soft_labels
        )
        [numbers] = scoring.add(rows, [range(len(rows))], [progress])
    return with_scores(rows, Scores.of_numbers(numbers))


class Scoring:
    """`score` for rows that come in parts. Each part is cut into batches of its own.

    The first batch of each fold decides for all parts what is settled in bfloat16, so the difficulties do not depend on
    which process scores a part, nor when.

    Args:
        scorer: the classifier, or a cross-fitted one.
        targets: class of the softmax of each label, see `Scorer.class_indices`.
        counter: counts the images.
        batch_size: images that are scored together.
        num_workers: processes that decode; see `score`.
        soft_labels: how many of each image; see `score`.

    Raises:
        InputError: there are fewer classes than soft labels.
    """

    def __init__(
        self,
        scorer: Scorer,
        targets: NDArray[np.int64],
        counter: Progress,
        *,
        batch_size: int = 128,
        num_workers: int | None = None,
        soft_labels: int | None = None,
    ) -> None:
        if soft_labels and soft_labels > len(targets):
            raise InputError(f"soft_labels is {soft_labels}, and the dataset has {len(targets)} classes: take fewer")
        self.scorer, self.targets, self.batch_size, self.num_workers = scorer, targets, batch_size, num_workers
        self.counter, self.soft_labels = counter, soft_labels or 0
        self._known = torch.from_numpy(targets).to(scorer.device)
        self.margins = [Margins(scorer, k) for k in range(scorer.folds)]
        self.calibrated: set[int] = set()

    def add(
        self, rows: Dataset, parts: Sequence[range], progress: Sequence[str | Path | None]
    ) -> list[NDArray[np.float32]]:
        """The scores of the parts that follow those of earlier calls; every process makes the same calls.

        Args:
            rows: all rows that have come so far; messages number them from the first.
            parts: one or more ranges of row numbers, each beginning where the one before ends.
            progress: for each part a file that keeps its scores, see `score`; or None for every part.

        Returns:
            For each part its difficulties and soft labels, float32, `(len(part), 1 + 2k)`, see `Scores.of_numbers`.

        Raises:
            InputError: see `score`.
        """
        stop, starts = parts[-1].stop, [part.start for part in parts]
        targets, folds = np.zeros(stop, dtype=np.int64), np.zeros(stop, dtype=np.int64)
        numbers = np.full((stop, 1 + 2 * self.soft_labels), np.nan, dtype=np.float32)
        saved: list[NDArray[np.float32]] = []  # the files of `progress`, one for each part, in the first process
        firsts: list[NDArray[np.int64]] = []
        others: list[NDArray[np.int64]] = []
        for part, path in zip(parts, progress, strict=True):
            part_rows, of_part = rows.select(part), slice(part.start, part.stop)
            targets[of_part] = self.targets[checked_labels(part_rows, first=part.start)]
            needs_digests = path or self.scorer.folds > 1
            encoded = encoded_images(part_rows, first=part.start) if needs_digests else ()
            digests = [image_digest(image) for image in encoded]
            folds[of_part] = [fold_of(digest, self.scorer.folds) for digest in digests] or 0
            if path and get_state().is_main_process:
                key = progress_key(digests, targets[of_part], self.scorer, self.batch_size, self._settings())
                saved.append(open_progress(path, key, numbers[of_part].shape))
                numbers[of_part] = saved[-1]
            calibrating, others_of_part = self._batches(part.start, folds[of_part])
            firsts += calibrating
            others += others_of_part
        [others] = broadcast_object_list([[batch for batch in others if np.isnan(numbers[batch]).any()]])
        self.counter.skip(stop - starts[0] - sum(map(len, [*firsts, *others])))  # saved by an earlier call
        with _full_float32():
            for batch, values in self._scored(rows, targets, folds, firsts, others):
                numbers[batch] = values
                self.counter.update(len(batch))
                if saved:
                    k = bisect_right(starts, batch[0]) - 1
                    saved[k][batch - starts[k]] = values
        [numbers] = broadcast_object_list([numbers])
        self._refuse_nan(numbers, starts[0])
        return [numbers[part.start : part.stop] for part in parts]

    def _settings(self) -> tuple[object, ...]:
        """What decides about soft labels; nothing where there are none, as files of earlier versions have it."""
        return (self.soft_labels, self.targets.tobytes()) if self.soft_labels else ()

    def _first(self, fold: int, images: torch.Tensor, classes: torch.Tensor) -> NDArray[np.float32]:
        """The scores of the first batch of a fold, `(B, 1 + 2k)`."""
        if self.soft_labels:  # float32 throughout: that bfloat16 settles a difficulty says nothing of other classes
            return self._score(fold, images, classes)
        return self.margins[fold].calibrate(images, classes).sigmoid().numpy()[:, None]

    def _score(self, fold: int, images: torch.Tensor, classes: torch.Tensor) -> NDArray[np.float32]:
        """The scores of another batch, `(B, 1 + 2k)`."""
        if not self.soft_labels:
            return self.margins[fold].settled(images, classes).sigmoid().numpy()[:, None]
        logits = self.scorer.logits(images, fold)
        return with_top_classes(logits, classes.to(logits.device), self._known, self.soft_labels).cpu().numpy()

    def _batches(self, start: int, folds: NDArray[np.int64]) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
        """Cuts a part into batches of row numbers, each of one fold.

        Returns:
            The first batch of each fold that had none before, and all other batches. The first batches are scored even
            where their difficulties are saved: what they tell about bfloat16 decides how all others are scored.
        """
        firsts, others = [], []
        for fold in range(self.scorer.folds):
            numbers = start + np.flatnonzero(folds == fold)
            batches = [numbers[k : k + self.batch_size] for k in range(0, len(numbers), self.batch_size)]
            if batches and fold not in self.calibrated:
                self.calibrated.add(fold)
                firsts.append(batches.pop(0))
            others += batches
        return firsts, others

    def _scored(
        self,
        rows: Dataset,
        targets: NDArray[np.int64],
        folds: NDArray[np.int64],
        firsts: list[NDArray[np.int64]],
        others: list[NDArray[np.int64]],
    ) -> Iterator[ScoredBatch]:
        """Scores batches; every process yields all of them, whichever process scored them.

        Args:
            rows: with `image`.
            targets: the true class of every row in the softmax, `(N,)`.
            folds: the fold of every row, `(N,)`.
            firsts: the first batch of each fold that had none before. They alone decide for all processes what is
                settled in bfloat16, so the difficulties do not depend on which process scores what.
            others: the other batches that are not scored yet.
        """
        state, margins = get_state(), self.margins
        share = slice(state.process_index, None, state.num_processes)
        mine = [*firsts[share], *others[share]]
        stream = image_batches(
            rows,
            self.scorer.transform,
            mine,
            num_workers=self.num_workers,
            pin_memory=self.scorer.device.type == "cuda",
        )
        calibrated = []
        for batch, images in islice(stream, len(firsts[share])):
            fold = folds[batch[0]]
            values = self._first(fold, images, torch.from_numpy(targets[batch]))
            calibrated.append((batch, values, margins[fold].error))
        for batch, values, error in gather_object(calibrated):
            margins[folds[batch[0]]].error = error
            yield batch, values
        scored = (
            (batch, self._score(folds[batch[0]], images, torch.from_numpy(targets[batch]))) for batch, images in stream
        )
        if state.num_processes == 1:
            yield from scored
            return
        most = -(-len(others) // state.num_processes)
        for _ in range(0, most, ROUNDS_PER_GATHER):
            yield from gather_object(list(islice(scored, ROUNDS_PER_GATHER)))

    def _refuse_nan(self, numbers: NDArray[np.float32], start: int) -> None:
        for row in start + np.flatnonzero(np.isnan(numbers[start:]).any(1))[:1]:
            name = self.scorer.name
            raise InputError(f"the scorer {name} returns no number for row {row}: its weights are broken")


@contextmanager
def _full_float32() -> Iterator[None]:
    """Switches TF32 off: it keeps 11 bits, and changes difficulties by more than `TOLERANCE`."""
    settings = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = settings
