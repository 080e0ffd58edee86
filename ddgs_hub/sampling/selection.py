"""Which images of the pool make the distilled dataset: the whole method for one class."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.histogram import MAX_BINS, as_count, as_difficulties, difficulty_bins, difficulty_histogram
from ddgs_hub.sampling.distributions import DISTRIBUTIONS
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
        counts: how many images each bin should give, easy to hard, shape (10,), int64, summing to IPC.
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


def select_by_difficulty(pool: ArrayLike, counts: ArrayLike, rng: "np.random.Generator") -> NDArray[np.int64]:
    """Draws images at random within bins of difficulty (Section 2.2).

    A bin that holds fewer images than its count gives all of them. The missing ones are then drawn at random from the
    rest of the pool.

    Args:
        pool: transformed difficulties, shape (N,), in 0…1.
        counts: how many to draw from each bin, easy to hard, shape (bins,), whole numbers ≥ 0 summing to at most N.
        rng: it alone decides the draw.

    Returns:
        Distinct rows of the pool, shape (sum of counts,), int64, ascending.

    Raises:
        InputError: a pool that `as_difficulties` refuses, counts that are not such numbers, or more of them than N.
    """
    wanted = _as_counts(counts)
    bins = difficulty_bins(pool, wanted.size)
    if wanted.sum() > bins.size:
        raise InputError(f"counts ask for {wanted.sum()} images and the pool has {bins.size}; enlarge the pool")
    drawn = [rng.permutation(np.flatnonzero(bins == k))[:count] for k, count in enumerate(wanted)]
    picked = np.concatenate(drawn)
    rest = np.setdiff1d(np.arange(bins.size), picked, assume_unique=True)
    fill = rng.permutation(rest)[: wanted.sum() - picked.size]
    return np.sort(np.concatenate([picked, fill]))


def difficulty_guided_sample(
    pool: ArrayLike,
    original: ArrayLike,
    ipc: int,
    *,
    distribution: str = "scale",
    weight: float = 0.5,
    divergence: str = "paper",
    seed: int = 0,
) -> Selection:
    """Selects `ipc` images of one class from its pool by difficulty: Eq. 7–9 and the draw.

    The ranks b*, t* are searched on the pool, over IPC // 2 ranks at each end (at least one), as in the published code.
    The same ranks transform the pool and the original, each with its own floor and ceiling.

    Args:
        pool: difficulties of the generated images, shape (N,), N ≥ ipc, in 0…1.
        original: difficulties of the real images of the class, shape (M,), M ≥ 1, in 0…1.
        ipc: images per class, ≥ 1.
        distribution: of the draw over ten bins: "scale" as the original, or "hill", "ground", "slope" or "cliff".
        weight: λ of Eq. 9, in 0…1.
        divergence: "paper" or "reference", as in `search_thresholds`.
        seed: of the draw; the same arguments and seed give the same selection.

    Returns:
        The selected rows, and the transformed difficulty and bin of every row of the pool.

    Raises:
        InputError: a pool smaller than `ipc`, difficulties that are NaN or outside 0…1, or an argument out of range.
    """
    pool = as_difficulties(pool, "pool difficulty")
    original = as_difficulties(original, "original difficulty")
    ipc, seed = as_count(ipc, "ipc", 1), as_count(seed, "seed", 0)
    if distribution not in DISTRIBUTIONS:
        raise InputError(f"distribution is {distribution!r}; choose one of {', '.join(DISTRIBUTIONS)}")
    if pool.size < ipc:
        raise InputError(f"the pool has {pool.size} images, fewer than IPC {ipc}; generate more or lower the IPC")
    thresholds = search_thresholds(pool, max(ipc // 2, 1), weight, divergence=divergence)
    transformed = log_transform(pool, thresholds.bottom, thresholds.top)
    counts = DISTRIBUTIONS[distribution](log_transform(original, thresholds.bottom, thresholds.top), ipc)
    available = difficulty_histogram(transformed, counts.size)
    return Selection(
        indices=select_by_difficulty(transformed, counts, np.random.default_rng(seed)),
        bins=difficulty_bins(transformed, counts.size),
        transformed=transformed,
        thresholds=thresholds,
        counts=counts,
        available=available,
        shortfall=np.maximum(counts - available, 0),
    )


def _as_counts(counts: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(counts)
    if array.ndim != 1 or not 1 <= array.size <= MAX_BINS or array.dtype.kind not in "iu" or (array < 0).any():
        raise InputError(f"counts is {counts!r}; give one whole number, at least 0, for each bin from easy to hard")
    return array.astype(np.int64)
