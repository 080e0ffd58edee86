"""Which images of the pool make the distilled dataset: the whole method for one class."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.histogram import as_count, as_difficulties, difficulty_bins, difficulty_histogram
from ddgs_hub.sampling.keys import draw_keys
from ddgs_hub.sampling.targets import TARGETS, ClassScores
from ddgs_hub.sampling.thresholds import Thresholds, search_thresholds
from ddgs_hub.sampling.transform import log_transform


@dataclass(frozen=True, eq=False)
class Selection:
    """The selection from the pool of one class, and what led to it. N is the size of the pool.

    Attributes:
        indices: rows of the pool that were selected, shape (IPC,), int64, ascending.
        bins: difficulty bin of every pool row after the transformation, shape (N,), int64 in 0…9.
        transformed: difficulty of every pool row after the transformation (Eq. 8), shape (N,), float64 in ε…1.
        thresholds: the ranks of Eq. 9 that transformed the pool and the original, with their objective.
        counts: how many images each bin should give, easy to hard, shape (10,), int64, summing to IPC; of a target
            that asks for no counts, how many were selected in each bin.
        available: how many images the pool has in each bin, shape (10,), int64, summing to N.
        shortfall: how many of `counts` each bin lacked, shape (10,), int64; the missing images come from other bins.
    """

    indices: NDArray[np.int64]
    bins: NDArray[np.int64]
    transformed: NDArray[np.float64]
    thresholds: Thresholds
    counts: NDArray[np.int64]
    available: NDArray[np.int64]
    shortfall: NDArray[np.int64]


def difficulty_guided_sample(
    pool: ArrayLike,
    original: ArrayLike,
    ipc: int,
    *,
    distribution: str = "scale",
    mixture: float = 0.5,
    weight: float = 0.5,
    divergence: str = "paper",
    seed: int = 0,
    label: int = 0,
    images: ArrayLike | None = None,
) -> Selection:
    """Selects `ipc` images of one class from its pool by difficulty: Eq. 7–9 and the draw.

    The ranks b*, t* are searched on the pool, over IPC // 2 ranks at each end (at least one), as in the published code.
    The same ranks transform the pool and the original, each with its own floor and ceiling.

    Args:
        pool: difficulties of the generated images, shape (N,), N ≥ ipc, in 0…1.
        original: difficulties of the real images of the class, shape (M,), M ≥ 1, in 0…1.
        ipc: images per class, ≥ 1.
        distribution: what the selection follows, a key of `TARGETS`: over ten bins "scale", "hill", "ground", "slope",
            "cliff" or "mixture"; without bins "quantile", "pool", "easy" or "curriculum".
        mixture: α of "mixture", −1…1; see `mixed_counts`.
        weight: λ of Eq. 9, in 0…1.
        divergence: "paper" or "reference", as in `search_thresholds`.
        seed: of the draw, with `label`; the same arguments and seed give the same selection.
        label: of the class, ≥ 0: classes draw differently.
        images: numbers of the generated images, shape (N,), by which the draw knows them in a pool of another size or
            order; None: 0 … N − 1. See `draw_keys`.

    Returns:
        The selected rows, and the transformed difficulty and bin of every row of the pool.

    Raises:
        InputError: a pool smaller than `ipc`, difficulties that are NaN or outside 0…1, or an argument out of range.
    """
    pool = as_difficulties(pool, "pool difficulty")
    original = as_difficulties(original, "original difficulty")
    ipc = as_count(ipc, "ipc", 1)
    if distribution not in TARGETS:
        raise InputError(f"distribution is {distribution!r}; choose one of {', '.join(TARGETS)}")
    if pool.size < ipc:
        raise InputError(f"the pool has {pool.size} images, fewer than IPC {ipc}; generate more or lower the IPC")
    keys = draw_keys(seed, label, np.arange(pool.size) if images is None else images)
    if keys.size != pool.size:
        raise InputError(f"images has {keys.size} numbers and the pool {pool.size} images: give one for each")
    thresholds = search_thresholds(pool, max(ipc // 2, 1), weight, divergence=divergence)
    pool_log, original_log = (log_transform(one, thresholds.bottom, thresholds.top) for one in (pool, original))
    indices, wanted = TARGETS[distribution](ClassScores(pool, original, pool_log, original_log, keys, ipc, mixture))
    counts = difficulty_histogram(pool_log[indices]) if wanted is None else wanted
    available = difficulty_histogram(pool_log)
    lacking = np.maximum(counts - available, 0)
    return Selection(indices, difficulty_bins(pool_log), pool_log, thresholds, counts, available, lacking)
