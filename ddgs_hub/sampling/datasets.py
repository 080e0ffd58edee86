"""Sampling on datasets: a scored pool and a scored original become the distilled dataset (Eq. 7–9)."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from datasets import Dataset, Value
from numpy.typing import NDArray

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import checked_labels, class_names, require_columns
from ddgs_hub.recipe import SampleSettings
from ddgs_hub.sampling import Selection, difficulty_guided_sample

MARKS = {"selected": "bool", "difficulty_log": "float32", "difficulty_bin": "int64"}  # columns that a pool gains


@dataclass(frozen=True)
class Distillation:
    """What sampling made.

    Attributes:
        rows: the distilled rows: those of the pool, with `difficulty_log` (Eq. 8) and `difficulty_bin` (0 … 9), sorted
            by class.
        indices: the row of the pool of each of them.
        pool: every row of the pool, with the same columns and `selected`. Rows that were no candidates (see
            `SampleSettings.pool_size`) have the bin −1 and no transformed difficulty.
        classes: for each class its name, thresholds, counts per bin, shortfall and mean difficulty; JSON values.
    """

    rows: Dataset
    indices: NDArray[np.int64]
    pool: Dataset
    classes: list[dict[str, Any]]


def distill(pool: Dataset, original: Dataset, sample: SampleSettings, *, seed: int = 0) -> Distillation:
    """Samples `sample.ipc` images a class from the pool so that their difficulties follow the target (Eq. 7–9).

    Args:
        pool: columns `image`, `label`, `difficulty` and any others; images are neither decoded nor re-encoded.
        original: columns `label`, `difficulty`, with the same classes.
        sample: IPC, distribution and mixture, divergence and λ.
        seed: of the draw: image i of class k has the key of (seed, k, i), see `draw_keys`; i is its `pool_index`, or
            its place in the class where the pool has none.

    Raises:
        InputError: a column is missing, the classes differ, a label is outside them, a difficulty is no number in
            0 … 1, or a class has no original image or too few images in the pool.
    """
    require_columns(pool, "image", where="the pool")
    return distill_columns(pool, original, sample, seed=seed)


def distill_columns(pool: Dataset, original: Dataset, sample: SampleSettings, *, seed: int = 0) -> Distillation:
    """`distill` of a pool whose images need not be at hand: rows are chosen by labels and difficulties alone."""
    scores = read_scores(pool, original, numbered=sample.pool_size is not None)
    selected = np.zeros(len(pool), bool)
    transformed = np.full(len(pool), np.nan)  # remains NaN for images that are no candidates
    bins = np.full(len(pool), -1)
    classes = []
    for k, name in enumerate(scores.names):
        of_class = select_class(scores, k, sample, seed=seed)
        selection = of_class.selection
        selected[of_class.drawn] = True
        transformed[of_class.candidates], bins[of_class.candidates] = selection.transformed, selection.bins
        classes.append(_describe(name, selection, float(scores.difficulty[of_class.drawn].mean())))
    marked = _marked(pool, selected, transformed, bins)
    # Sorted by class, so that the distilled rows do not depend on how the pool was put together.
    indices = np.flatnonzero(selected)
    indices = indices[np.argsort(scores.labels[indices], kind="stable")]
    return Distillation(marked.select(indices).remove_columns("selected"), indices, marked, classes)


@dataclass(frozen=True, eq=False)
class Scores:
    """What sampling looks at, checked.

    Attributes:
        names: of the classes, in label order.
        labels: of the rows of the pool, `(N,)`.
        difficulty: of these, `(N,)`, float32 in 0 … 1.
        original_labels: of the rows of the original, `(M,)`.
        original_difficulty: of these, `(M,)`, float32 in 0 … 1.
        numbers: the `pool_index` of the rows of the pool, `(N,)`; None where it has none, or none that is new in its
            class.
    """

    names: list[str]
    labels: NDArray[np.int64]
    difficulty: NDArray[np.float32]
    original_labels: NDArray[np.int64]
    original_difficulty: NDArray[np.float32]
    numbers: NDArray[np.int64] | None = None

    def images(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers by which the draw knows some rows of a class: `pool_index`, or else their places in the class.

        Args:
            rows: of the pool, `(n,)`, ascending: all of a class where there are no numbers.
        """
        return np.arange(rows.size) if self.numbers is None else self.numbers[rows]


def read_scores(pool: Dataset, original: Dataset, *, numbered: bool = False) -> Scores:
    """The columns that sampling looks at.

    Args:
        pool: columns `label`, `difficulty` and any others.
        original: columns `label`, `difficulty`, with the same classes.
        numbered: whether `pool_index` is needed, for `SampleSettings.pool_size`; otherwise it is taken if it is there.

    Raises:
        InputError: a column is missing, the classes differ, a label is outside them, a difficulty is no number in
            0 … 1, or two images of a class have the same `pool_index`.
    """
    require_columns(pool, "label", "difficulty", where="the pool")
    require_columns(original, "label", "difficulty", where="the original dataset")
    names = class_names(pool)
    if names != class_names(original):
        raise InputError("the pool and the original dataset have different classes: score and sample the same ones")
    labels, difficulty = checked_labels(pool, "the pool"), _difficulties(pool, "the pool")
    numbers = _numbers(pool, needed=numbered)
    original_labels = checked_labels(original, "the original dataset")
    return Scores(names, labels, difficulty, original_labels, _difficulties(original, "the original dataset"), numbers)


@dataclass(frozen=True, eq=False)
class ClassSelection:
    """How one class was sampled.

    Attributes:
        candidates: the rows of the pool that could be selected, ascending.
        selection: which of these were, and why.
    """

    candidates: NDArray[np.int64]
    selection: Selection

    @property
    def drawn(self) -> NDArray[np.int64]:
        """The rows of the pool that were selected, ascending."""
        return self.candidates[self.selection.indices]


def select_class(scores: Scores, label: int, sample: SampleSettings, *, seed: int) -> ClassSelection:
    """Samples one class as `distill` does.

    Raises:
        InputError: it has too few images in the pool, or none in the original.
    """
    name, candidates = scores.names[label], scores.labels == label
    if sample.pool_size is not None:
        assert scores.numbers is not None
        candidates &= scores.numbers < sample.pool_size * sample.ipc
    of_class, of_original = np.flatnonzero(candidates), scores.original_labels == label
    _require_enough(name, len(of_class), sample)
    if not of_original.any():
        raise InputError(f"class '{name}' has no image in the original dataset: add images, or drop the class")
    selection = difficulty_guided_sample(
        scores.difficulty[of_class],
        scores.original_difficulty[of_original],
        sample.ipc,
        distribution=sample.distribution,
        mixture=sample.mixture,
        weight=sample.weight,
        divergence=sample.divergence,
        seed=seed,
        label=label,
        images=scores.images(of_class),
    )
    return ClassSelection(of_class, selection)


def _require_enough(name: str, count: int, sample: SampleSettings) -> None:
    """Refuses a class with too few candidates."""
    if count < sample.ipc:
        raise InputError(
            f"class '{name}' has {count} images in the pool, fewer than IPC {sample.ipc}: enlarge the pool"
        )
    if sample.pool_size and count < sample.pool_size * sample.ipc:
        raise InputError(
            f"class '{name}' has {count} images in the pool, fewer than {sample.pool_size} × IPC {sample.ipc}: "
            "lower the pool size, or leave it out to use them all"
        )


def _describe(name: str, selection: Selection, mean_difficulty: float) -> dict[str, Any]:
    """How a class was selected, as JSON values."""
    return {
        "name": name,
        **asdict(selection.thresholds),
        "target_counts": selection.counts.tolist(),
        "available": selection.available.tolist(),
        "shortfall": selection.shortfall.tolist(),
        "mean_difficulty": mean_difficulty,
    }


def _marked(
    pool: Dataset, selected: NDArray[np.bool_], transformed: NDArray[np.float64], bins: NDArray[np.int64]
) -> Dataset:
    """The pool with the columns of `MARKS`; those that it has are replaced."""
    marked = pool.remove_columns([name for name in MARKS if name in pool.column_names])
    for (name, kind), values in zip(MARKS.items(), (selected, transformed, bins), strict=True):
        marked = marked.add_column(name, values.tolist(), feature=Value(kind))
    return marked


def _numbers(pool: Dataset, *, needed: bool) -> NDArray[np.int64] | None:
    """The column `pool_index`, `(N,)`, each number once in a class; None where that is not needed and not so."""
    if needed:
        require_columns(pool, "pool_index", where="the pool")
    elif "pool_index" not in pool.column_names:
        return None
    numbers = list(pool.with_format(None)["pool_index"])
    seen: set[tuple[int, int]] = set()
    for row, key in enumerate(zip(pool["label"], numbers, strict=True)):
        if not isinstance(key[1], int) or not 0 <= key[1] < 2**63 or key in seen:
            if not needed:
                return None
            raise InputError(
                f"row {row} of the pool has pool_index {key[1]}, not a new one of its class: mend that row"
            )
        seen.add(key)
    return np.array(numbers, dtype=np.int64)


def _difficulties(rows: Dataset, where: str) -> NDArray[np.float32]:
    """The column `difficulty`, `(N,)`, checked here, so that messages can name the row."""
    cells = list(rows.with_format(None)["difficulty"])
    for row, value in enumerate(cells):
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise InputError(f"row {row} of {where} has difficulty {value}, not a number in 0 … 1: score it again")
    return np.array(cells, dtype=np.float32)
