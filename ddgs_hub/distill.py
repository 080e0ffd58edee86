"""The sampling stage on datasets: a scored pool and a scored original become the distilled dataset."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from datasets import Dataset, Value

from ddgs_hub.errors import InputError
from ddgs_hub.recipe import Sample
from ddgs_hub.rows import class_names, require_columns
from ddgs_hub.sampling import difficulty_guided_sample

MARKS = {"selected": "bool", "difficulty_log": "float32", "difficulty_bin": "int64"}


@dataclass(frozen=True)
class Distillation:
    """What sampling made.

    Attributes:
        rows: the distilled rows: those of the pool, with `difficulty_log` (Eq. 8) and `difficulty_bin` (0 … 9).
        pool: every row of the pool, with the same columns and `selected`.
        classes: for each class its name, thresholds, counts per bin, shortfall and mean difficulty; JSON values.
    """

    rows: Dataset
    pool: Dataset
    classes: list[dict[str, Any]]


def distill(pool: Dataset, original: Dataset, sample: Sample, *, seed: int = 0) -> Distillation:
    """Samples `sample.ipc` images a class from the pool so that their difficulties follow the target (Eq. 7–9).

    Args:
        pool: columns `image`, `label`, `difficulty`, and whatever else; nothing is generated, decoded or re-encoded.
        original: columns `label`, `difficulty`, with the same classes.
        sample: IPC, distribution, divergence and λ.
        seed: of the draw; class k draws from (seed, k).

    Raises:
        InputError: a column is missing, the classes differ, or a class has too few images in the pool.
    """
    for rows, where in ((pool, "the pool"), (original, "the original dataset")):
        require_columns(rows, "label", "difficulty", where=where)
    names = class_names(pool)
    if names != class_names(original):
        raise InputError("the pool and the original dataset have different classes: score and sample the same ones")
    labels, difficulty = np.asarray(pool["label"]), np.asarray(pool["difficulty"], dtype=np.float32)
    original_labels, original_difficulty = np.asarray(original["label"]), np.asarray(original["difficulty"])
    marks = {"selected": np.zeros(len(pool), bool), "difficulty_log": np.zeros(len(pool)), "difficulty_bin": labels * 0}
    classes = []
    for k, name in enumerate(names):
        own = np.flatnonzero(labels == k)
        if len(own) < sample.ipc:
            raise InputError(
                f"class '{name}' has {len(own)} images in the pool, fewer than IPC {sample.ipc}: enlarge the pool"
            )
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
