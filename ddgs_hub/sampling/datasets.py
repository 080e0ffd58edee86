"""The sampling stage on datasets: a scored pool and a scored original become the distilled dataset."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from datasets import Dataset, Value
from numpy.typing import NDArray

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import checked_labels, class_names, require_columns
from ddgs_hub.recipe import SampleSettings
from ddgs_hub.sampling import difficulty_guided_sample

MARKS = {"selected": "bool", "difficulty_log": "float32", "difficulty_bin": "int64"}


@dataclass(frozen=True)
class Distillation:
    """What sampling made.

    Attributes:
        rows: the distilled rows: those of the pool, with `difficulty_log` (Eq. 8) and `difficulty_bin` (0 … 9).
        pool: every row of the pool, with the same columns and `selected`. Rows that were no candidates (see
            `SampleSettings.pool_size`) have the bin −1 and no transformed difficulty.
        classes: for each class its name, thresholds, counts per bin, shortfall and mean difficulty; JSON values.
    """

    rows: Dataset
    pool: Dataset
    classes: list[dict[str, Any]]


def distill(pool: Dataset, original: Dataset, sample: SampleSettings, *, seed: int = 0) -> Distillation:
    """Samples `sample.ipc` images a class from the pool so that their difficulties follow the target (Eq. 7–9).

    Args:
        pool: columns `image`, `label`, `difficulty`, and whatever else; nothing is generated, decoded or re-encoded.
        original: columns `label`, `difficulty`, with the same classes.
        sample: IPC, distribution, divergence and λ.
        seed: of the draw; class k draws from (seed, k).

    Raises:
        InputError: a column is missing, the classes differ, a label is outside them, a difficulty is no number in
            0 … 1, or a class has no original image or too few images in the pool.
    """
    require_columns(pool, "image", "label", "difficulty", where="the pool")
    require_columns(original, "label", "difficulty", where="the original dataset")
    names = class_names(pool)
    if names != class_names(original):
        raise InputError("the pool and the original dataset have different classes: score and sample the same ones")
    labels, difficulty = checked_labels(pool, "the pool"), _difficulties(pool, "the pool")
    candidates = _candidates(pool, sample)
    original_labels = checked_labels(original, "the original dataset")
    original_difficulty = _difficulties(original, "the original dataset")
    marks = {
        "selected": np.zeros(len(pool), bool),
        "difficulty_log": np.full(len(pool), np.nan),  # of images that are no candidates
        "difficulty_bin": np.full(len(pool), -1),
    }
    classes = []
    for k, name in enumerate(names):
        own = np.flatnonzero((labels == k) & candidates)
        if len(own) < sample.ipc:
            raise InputError(
                f"class '{name}' has {len(own)} images in the pool, fewer than IPC {sample.ipc}: enlarge the pool"
            )
        if sample.pool_size and len(own) < sample.pool_size * sample.ipc:
            raise InputError(
                f"class '{name}' has {len(own)} images in the pool, fewer than {sample.pool_size} × IPC {sample.ipc}: "
                "lower the pool size, or leave it out to use them all"
            )
        if k not in original_labels:
            raise InputError(f"class '{name}' has no image in the original dataset: add images, or drop the class")
        selection = difficulty_guided_sample(
            difficulty[own],
            original_difficulty[original_labels == k],
            sample.ipc,
            distribution=sample.distribution,
            weight=sample.weight,
            divergence=sample.divergence,
            seed=int(np.random.SeedSequence([seed, k]).generate_state(1)[0]),
        )
        chosen = own[selection.indices]
        marks["selected"][chosen] = True
        marks["difficulty_log"][own], marks["difficulty_bin"][own] = selection.transformed, selection.bins
        classes.append(
            {
                "name": name,
                **asdict(selection.thresholds),
                "target_counts": selection.counts.tolist(),
                "available": selection.available.tolist(),
                "shortfall": selection.shortfall.tolist(),
                "mean_difficulty": float(difficulty[chosen].mean()),
            }
        )
    marked = pool.remove_columns([name for name in MARKS if name in pool.column_names])
    for name, kind in MARKS.items():
        marked = marked.add_column(name, marks[name].tolist(), feature=Value(kind))
    # Sorted by class, so that the distilled rows do not depend on how the pool was put together.
    order = np.flatnonzero(marks["selected"])
    order = order[np.argsort(labels[order], kind="stable")]
    return Distillation(marked.select(order).remove_columns("selected"), marked, classes)


def _candidates(pool: Dataset, sample: SampleSettings) -> NDArray[np.bool_]:
    """Which rows of the pool can be selected: all, or the nested pool of `sample.pool_size`."""
    if sample.pool_size is None:
        return np.ones(len(pool), bool)
    require_columns(pool, "pool_index", where="the pool")
    numbers = list(pool.with_format(None)["pool_index"])
    seen: set[tuple[int, int]] = set()
    for row, key in enumerate(zip(pool["label"], numbers, strict=True)):
        if key[1] is None or key[1] < 0 or key in seen:
            raise InputError(
                f"row {row} of the pool has pool_index {key[1]}, not a new one of its class: mend that row"
            )
        seen.add(key)
    return np.asarray(numbers) < sample.pool_size * sample.ipc


def _difficulties(rows: Dataset, where: str) -> NDArray[np.float32]:
    """The column `difficulty`, `(N,)`, checked here: a class's own array knows nothing of the row."""
    cells = list(rows.with_format(None)["difficulty"])
    for row, value in enumerate(cells):
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise InputError(f"row {row} of {where} has difficulty {value}, not a number in 0 … 1: score it again")
    return np.array(cells, dtype=np.float32)
