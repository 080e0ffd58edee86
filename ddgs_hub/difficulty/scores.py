"""What scoring gives each row: its difficulty, and soft labels where they are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from torch import Tensor

from ddgs_hub.core.soft_labels import with_soft_labels, without_soft_labels
from ddgs_hub.difficulty.margins import margin

COLUMN = "difficulty"


@dataclass(frozen=True, eq=False)
class Scores:
    """Of N rows.

    Attributes:
        difficulty: 1 − p(true class) under all classes of the scorer (Eq. 6), float32 `(N,)`, 0 … 1.
        classes: labels of the dataset, the most probable first, int32 `(N, k)`; None: there are no soft labels.
        probabilities: of these under the classes of the dataset alone, float16 `(N, k)`, 0 … 1.
    """

    difficulty: NDArray[np.float32]
    classes: NDArray[np.int32] | None = None
    probabilities: NDArray[np.float16] | None = None

    @classmethod
    def of_numbers(cls, numbers: NDArray[np.float32]) -> "Scores":
        """Of the numbers that scoring keeps of each row, float32 `(N, 1 + 2k)`, see `with_top_classes`."""
        k = (numbers.shape[1] - 1) // 2
        if not k:
            return cls(numbers[:, 0])
        return cls(numbers[:, 0], numbers[:, 1 : 1 + k].astype(np.int32), numbers[:, 1 + k :].astype(np.float16))


def joined_scores(parts: Sequence[NDArray[np.float32]]) -> Scores:
    """The scores of consecutive rows, from the numbers of each part, `(N_i, 1 + 2k)`."""
    return Scores.of_numbers(np.concatenate(parts))


def with_scores(rows: Dataset, scores: Scores) -> Dataset:
    """The rows with the columns of their scores; those of another scorer are replaced or removed."""
    rows = without_soft_labels(rows)
    if COLUMN in rows.column_names:
        rows = rows.remove_columns(COLUMN)
    rows = rows.add_column(COLUMN, scores.difficulty)
    if scores.classes is None or scores.probabilities is None:
        return rows
    return with_soft_labels(rows, scores.classes, scores.probabilities)


def with_top_classes(logits: Tensor, targets: Tensor, known: Tensor, k: int) -> Tensor:
    """Difficulties, and the k classes of the dataset that are most probable among the dataset's own.

    A scorer may know a thousand classes, of which the dataset has ten. The difficulty counts all of them, as Eq. 6
    does. A network that is trained on soft labels has the ten alone, so their softmax is over those.

    Args:
        logits: of the scorer, float32 `(B, K)`.
        targets: the true class in the softmax, int64 `(B,)`.
        known: the class in the softmax of each label of the dataset, int64 `(C,)`.
        k: at most C.

    Returns:
        float32 `(B, 1 + 2k)`: the difficulty, k labels, the most probable first, and their probabilities.
    """
    top = logits[:, known].softmax(1).topk(k)
    difficulty = margin(logits, targets).sigmoid()
    return torch.cat([difficulty[:, None], top.indices.float(), top.values], dim=1)
