"""How many images each bin of the distilled dataset should hold: the sampling distributions of Sections 2.2 and 3.3."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.histogram import as_count, difficulty_histogram

# Fig. 4: counts per bin, from easy to hard, by shape and by IPC.
PRESETS: dict[str, dict[int, tuple[int, ...]]] = {
    "hill": {
        10: (1, 0, 1, 0, 3, 3, 1, 0, 0, 1),
        20: (1, 1, 1, 2, 5, 5, 2, 1, 1, 1),
        50: (1, 3, 5, 6, 10, 10, 6, 5, 3, 1),
    },
    "ground": {
        10: (1,) * 10,
        20: (2,) * 10,
        50: (5,) * 10,
    },
    "slope": {
        10: (3, 3, 1, 1, 0, 0, 1, 1, 0, 0),
        20: (5, 5, 2, 2, 1, 1, 1, 1, 1, 1),
        50: (10, 10, 6, 6, 5, 5, 3, 3, 1, 1),
    },
    "cliff": {
        10: (6, 3, 0, 1, 0, 0, 0, 0, 0, 0),
        20: (9, 6, 1, 1, 1, 1, 1, 0, 0, 0),
        50: (20, 15, 3, 3, 2, 2, 2, 1, 1, 1),
    },
}


def scaled_counts(difficulty: ArrayLike, ipc: int, bins: int = 10) -> NDArray[np.int64]:
    """The histogram of the difficulties, scaled to `ipc` images by largest remainder ("scale", Section 2.2).

    Args:
        difficulty: of the original dataset, shape (N,), in 0…1; in the paper's method already transformed by
            `log_transform` with the ranks of the pool.
        ipc: images per class, ≥ 1.
        bins: 1…1000.

    Returns:
        Counts per bin from easy to hard, shape (bins,), int64, summing to `ipc`.

    Raises:
        InputError: difficulties that `as_difficulties` refuses, or `ipc` or `bins` out of range.
    """
    return _largest_remainder(difficulty_histogram(difficulty, bins), as_count(ipc, "ipc", 1))


def preset_counts(shape: str, ipc: int) -> NDArray[np.int64]:
    """One of the pre-defined distributions of Fig. 4: "hill", "ground", "slope" or "cliff".

    At IPC 10, 20 and 50 these are the published counts, at any other the shape of IPC 50 scaled by largest remainder.

    Args:
        shape: a key of `PRESETS`.
        ipc: images per class, ≥ 1.

    Returns:
        Counts per bin from easy to hard, shape (10,), int64, summing to `ipc`.

    Raises:
        InputError: an unknown shape, or `ipc` out of range.
    """
    if shape not in PRESETS:
        raise InputError(f"shape is {shape!r}; choose one of {', '.join(PRESETS)}")
    ipc = as_count(ipc, "ipc", 1)
    published = PRESETS[shape]
    if ipc in published:
        return np.array(published[ipc], dtype=np.int64)
    return _largest_remainder(np.array(published[50], dtype=np.int64), ipc)


def mixed_counts(pool: ArrayLike, original: ArrayLike, ipc: int, mixture: float) -> NDArray[np.int64]:
    """Counts between two histograms, or beyond them: ∝ max(0, h_pool + α·(h_original − h_pool)), h being shares.

    Args:
        pool: images of the pool in each bin, shape (bins,), whole numbers ≥ 0, not all 0.
        original: likewise of the original.
        ipc: images per class, ≥ 1.
        mixture: α, −1…1: 0 keeps the pool's histogram, 1 makes it the original's as `scaled_counts` does, and below 0
            it goes away from the original.

    Returns:
        Counts per bin from easy to hard, shape (bins,), int64, summing to `ipc`, by largest remainder.

    Raises:
        InputError: `ipc` or `mixture` out of range.
    """
    if not -1 <= mixture <= 1:
        raise InputError(f"mixture is {mixture}; α of the target 'mixture' lies in −1…1")
    of_pool, of_original = np.asarray(pool), np.asarray(original)
    # Times N·M, so that with α 0 and 1 the shares are whole numbers and equal remainders equal.
    shares = (1 - mixture) * of_pool * of_original.sum() + mixture * of_original * of_pool.sum()
    return _largest_remainder(np.maximum(shares, 0), as_count(ipc, "ipc", 1))


def _preset(transformed_original: ArrayLike, ipc: int, *, shape: str) -> NDArray[np.int64]:
    return preset_counts(shape, ipc)


# By name, of the paper: (the original's transformed difficulties, IPC) → counts per bin.
DISTRIBUTIONS: dict[str, Callable[[ArrayLike, int], NDArray[np.int64]]] = {
    "scale": scaled_counts,
    **{shape: partial(_preset, shape=shape) for shape in PRESETS},
}


def _largest_remainder(shares: NDArray[np.number], total: int) -> NDArray[np.int64]:
    """Divides `total` in proportion to the shares; of equal remainders the easier bin's goes first."""
    quotients, remainders = np.divmod(shares * total, shares.sum())
    counts = quotients.astype(np.int64)
    by_remainder = np.argsort(-remainders, kind="stable")
    counts[by_remainder[: total - counts.sum()]] += 1
    return counts
