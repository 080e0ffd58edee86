"""Scoring: rows gain the column `difficulty` (Eq. 6)."""

import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from datasets import Dataset
from numpy.typing import NDArray
from PIL import Image as PILImage
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from tqdm.auto import tqdm

from ddgs_hub.difficulty.scorer import Scorer, fold_of
from ddgs_hub.errors import InputError
from ddgs_hub.rows import class_names, decode_image, require_columns, undecoded

COLUMN = "difficulty"


def score(rows: Dataset, scorer: Scorer, *, batch_size: int = 128, num_workers: int | None = None) -> Dataset:
    pass


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
