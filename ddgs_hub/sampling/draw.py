"""Drawing images from bins of difficulty, by their keys."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.histogram import MAX_BINS, as_difficulties, difficulty_bins
from ddgs_hub.sampling.keys import as_keys

EDGE = 0.5  # of a bin's width: how far beyond its edges a bin may take images


def select_by_difficulty(pool: ArrayLike, counts: ArrayLike, keys: ArrayLike, edge: float = EDGE) -> NDArray[np.int64]:
    """Draws images from bins of difficulty (Section 2.2): from each as many as its count, those with small keys first.

    In the paper a bin gives images that lie in it. Here it may also give some that lie within `edge` of it, so that
    an image near an edge does not come or go with the third decimal of its difficulty. In the order of their keys all
    images are taken for which the bins still have a place, whichever of theirs each of them is counted for. What is
    then missing, because bins hold too few images, comes from the rest of the pool, likewise in the order of keys.

    Args:
        pool: transformed difficulties, shape (N,), in 0…1.
        counts: how many to draw from each bin, easy to hard, shape (bins,), whole numbers ≥ 0 summing to at most N.
        keys: of the images, shape (N,), as of `draw_keys`; they alone decide the draw. Of equal ones the first row's
            comes first.
        edge: in widths of a bin, 0…1; 0 draws as the paper does.

    Returns:
        Distinct rows of the pool, shape (sum of counts,), int64, ascending.

    Raises:
        InputError: a pool that `as_difficulties` refuses, counts or keys that are not such numbers, more counts than N,
            or an edge out of range.
    """
    values, wanted = as_difficulties(pool), _as_counts(counts)
    if wanted.sum() > values.size:
        raise InputError(f"counts ask for {wanted.sum()} images and the pool has {values.size}; enlarge the pool")
    if not 0 <= edge <= 1:
        raise InputError(f"edge is {edge}; give a share of a bin's width, in 0…1")
    order = np.argsort(as_keys(keys, values.size), kind="stable")
    first, last = (
        difficulty_bins(np.clip(values + beyond, 0, 1), wanted.size)
        for beyond in (-edge / wanted.size, edge / wanted.size)
    )
    # Images whose bins are all among i … j fill at most the places of i … j: room[i, j] is what is left of these.
    # Where that holds for all i ≤ j, every image has a place (Hall's theorem, for neighbouring bins).
    sums = np.concatenate([[0], np.cumsum(wanted)])
    room = sums[None, 1:] - sums[:-1, None]
    taken = np.zeros(values.size, bool)
    for row in order.tolist():
        if not room[0, -1]:
            break
        around = room[: first[row] + 1, last[row] :]
        if around.min() > 0:
            around -= 1
            taken[row] = True
    rest = order[~taken[order]]
    taken[rest[: room[0, -1]]] = True
    return np.flatnonzero(taken)


def _as_counts(counts: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(counts)
    if array.ndim != 1 or not 1 <= array.size <= MAX_BINS or array.dtype.kind not in "iu" or (array < 0).any():
        raise InputError(f"counts is {counts!r}; give one whole number, at least 0, for each bin from easy to hard")
    return array.astype(np.int64)
