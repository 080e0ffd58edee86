"""Selections that do not use the difficulty: random, herding and k-center, as the paper's tables compare them."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ddgs_hub.core.errors import InputError

Indices = NDArray[np.int64]


def random_selection(
    labels: ArrayLike, ipc: int, seed: int = 0, *, class_names: Sequence[str] | None = None
) -> Indices:
    """Draws `ipc` images of each class, all equally likely.

    Args:
        labels: `(N,)`, the class of each image, 0 … C − 1.
        ipc: images per class.
        seed: of the draw.
        class_names: names of all C classes, for messages, and to notice a class without images.

    Returns:
        `(C · ipc,)` rows: `ipc` of class 0, in the order drawn, then of class 1, …

    Raises:
        InputError: a class has fewer than `ipc` images, or `ipc` is below 1.
    """
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.permutation(rows)[:ipc] for rows in _rows_by_class(labels, ipc, class_names)])


def herding(features: ArrayLike, labels: ArrayLike, ipc: int, *, class_names: Sequence[str] | None = None) -> Indices:
    """Picks images one by one so that their mean stays close to the class mean (Welling, ICML 2009), each at most once.

    Args:
        features: `(N, D)`, finite; the sums are in float64.
        labels: `(N,)`, the class of each image, 0 … C − 1.
        ipc: images per class.
        class_names: as in `random_selection`.

    Returns:
        `(C · ipc,)` rows, by class, in the order picked; of equally good images the first.

    Raises:
        InputError: a class has fewer than `ipc` images, `ipc` is below 1, or a feature is not finite.
    """
    points = _checked(features)
    return np.concatenate([rows[_herd(points[rows], ipc)] for rows in _rows_by_class(labels, ipc, class_names)])


def k_center(
    features: ArrayLike,
    labels: ArrayLike,
    ipc: int,
    start: Literal["first", "mean"] = "first",
    *,
    class_names: Sequence[str] | None = None,
) -> Indices:
    """Picks the image farthest from all picked ones, again and again (greedy k-center; Sener and Savarese, ICLR 2018).

    Args:
        features: `(N, D)`, finite; distances are Euclidean, in float64.
        labels: `(N,)`, the class of each image, 0 … C − 1.
        ipc: images per class.
        start: the first pick of a class: its first row, or the row nearest to its mean.
        class_names: as in `random_selection`.

    Returns:
        `(C · ipc,)` rows, by class, in the order picked; of equally far images the first.

    Raises:
        InputError: a class has fewer than `ipc` images, `ipc` is below 1, a feature is not finite, or `start` is
            unknown.
    """
    if start not in ("first", "mean"):
        raise InputError(f"k-center can start at 'first' or 'mean', not at '{start}'")
    points = _checked(features)
    groups = _rows_by_class(labels, ipc, class_names)
    return np.concatenate([rows[_farthest_first(points[rows], ipc, start)] for rows in groups])


def _herd(points: NDArray[np.float64], count: int) -> list[int]:
    """Step k picks the point that minimises ‖mean − (sum of the picks + point) / k‖: `count` of the rows `(n, D)`."""
    mean = points.mean(axis=0)
    total = np.zeros_like(mean)  # of the points picked
    left = np.ones(len(points), dtype=bool)
    picks = []
    for size in range(1, count + 1):
        gaps = np.linalg.norm(mean - (total + points) / size, axis=1)
        pick = int(np.where(left, gaps, np.inf).argmin())
        picks.append(pick)
        left[pick] = False
        total += points[pick]
    return picks


def _farthest_first(points: NDArray[np.float64], count: int, start: str) -> list[int]:
    """Each step picks the point whose nearest pick is farthest away: `count` of the rows `(n, D)`."""
    distance_to_mean = np.linalg.norm(points - points.mean(axis=0), axis=1)
    picks = [0 if start == "first" else int(distance_to_mean.argmin())]
    nearest = np.full(len(points), np.inf)  # distance of each point to the picks
    for _ in range(count - 1):
        nearest = np.minimum(nearest, np.linalg.norm(points - points[picks[-1]], axis=1))
        nearest[picks[-1]] = -np.inf  # a duplicate of a pick is at distance 0, and still comes before the pick itself
        picks.append(int(nearest.argmax()))
    return picks


def _checked(features: ArrayLike) -> NDArray[np.float64]:
    points = np.asarray(features, dtype=np.float64)
    bad = ~np.isfinite(points).all(axis=1)
    if bad.any():
        raise InputError(f"the features of row {int(bad.argmax())} are not finite: compute them again or drop the row")
    return points


def _rows_by_class(labels: ArrayLike, ipc: int, class_names: Sequence[str] | None) -> Iterator[Indices]:
    """The rows of each class, after checking that every one has at least `ipc`."""
    if ipc < 1:
        raise InputError(f"ipc is {ipc}: give the number of images per class, at least 1")
    classes = np.asarray(labels)
    count = len(class_names) if class_names is not None else int(classes.max(initial=-1)) + 1
    names = class_names if class_names is not None else [f"class {label}" for label in range(count)]
    if not len(classes):
        raise InputError("there are no labels: give the class of at least one image")
    for row in np.flatnonzero((classes < 0) | (classes >= count))[:1]:
        raise InputError(f"the label of row {row} is {classes[row]}, outside the classes 0 … {count - 1}")
    sizes = np.bincount(classes, minlength=count)
    if sizes.min() < ipc:
        smallest = int(sizes.argmin())
        raise InputError(
            f"{names[smallest]} has {sizes[smallest]} images, fewer than the {ipc} per class to select: "
            "lower ipc or leave the class out"
        )
    return (np.flatnonzero(classes == label) for label in range(count))
