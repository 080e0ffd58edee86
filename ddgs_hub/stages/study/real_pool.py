"""Pools of real images, which stand in for a generated one: all of the originals, or a selection of easy ones.

They show what sampling does where images are real and only their difficulties are not the original's. They stay inside
studies: nothing publishes them.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from datasets import Dataset, Features
from numpy.typing import NDArray

from ddgs_hub.core.columns import COLUMNS
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.made import Made
from ddgs_hub.core.rows import class_names, read_rows, read_tables, write_split
from ddgs_hub.core.staging import staged_folder
from ddgs_hub.sampling import draw_keys
from ddgs_hub.stages.score import describe_difficulty


def make_real_pool(
    original: Path, scored: Path, output: Path, *, per_class: int | None, easy_bias: float, seed: int
) -> Made:
    """Writes original images with their difficulties as a pool, in the order of the originals.

    Its rows have the columns of both, and `pool_index`.

    Args:
        original: folder of the original images.
        scored: their difficulties, row for row.
        output: folder of the pool.
        per_class: images a class; None: all there are.
        easy_bias: k of `biased_order`, which numbers the images of each class.
        seed: of that draw.

    Raises:
        InputError: a class has fewer images.
    """
    scores = read_rows(scored, names=[name for name in COLUMNS if name != "image"])
    labels, names = np.asarray(scores["label"]), class_names(scores)
    difficulty = np.asarray(scores["difficulty"], dtype=np.float32)
    number = biased_order(labels, difficulty, easy_bias, seed)
    sizes = np.bincount(labels, minlength=len(names))
    if per_class is not None and sizes.min() < per_class:
        raise InputError(
            f"class '{names[int(sizes.argmin())]}' has {sizes.min()} original images, fewer than the {per_class} of a "
            "pool of real images: lower pool.size, or the study's ipc"
        )
    chosen = number < (per_class or len(labels))
    with staged_folder(output) as folder:
        _write(original, scores.add_column("pool_index", number), chosen, folder)
    text = f"{describe_difficulty(difficulty[chosen])}; of all originals {difficulty.mean():.3f}"
    values = {"images": int(chosen.sum()), "mean_difficulty": float(difficulty[chosen].mean()), "easy_bias": easy_bias}
    return Made(text, {"output": str(output), **values})


def biased_order(
    labels: NDArray[np.int64], difficulty: NDArray[np.float32], easy_bias: float, seed: int
) -> NDArray[np.int64]:
    """Numbers the images of each class in the order of a draw without replacement in which easy ones come early.

    The next image is drawn with probability ∝ (1 − difficulty)^k. That is the order of the keys u^(1 / weight) from the
    largest, u uniform in 0 … 1 (Efraimidis and Spirakis, Information Processing Letters 97, 2006), here of
    −log(u) / weight from the smallest. So the images below any number are such a draw, and draws of two sizes nest.

    Args:
        labels: `(N,)`.
        difficulty: `(N,)`, 0 … 1.
        easy_bias: k ≥ 0; at 0 all orders are equally likely.
        seed: of the draw; image i of class c has the key of (seed, c, i), see `draw_keys`.

    Returns:
        `(N,)`: the number of each image, 0 … n − 1 in a class of n; images of difficulty 1 come last where k > 0.
    """
    number = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        keys = draw_keys(seed, int(label), np.arange(len(rows)))
        waiting = -np.log((keys + 0.5) / 2.0**64)
        weight = (1 - difficulty[rows].astype(np.float64)) ** easy_bias
        until = np.divide(waiting, weight, out=np.full(len(rows), np.inf), where=weight > 0)
        number[rows[np.argsort(until, kind="stable")]] = np.arange(len(rows))
    return number


def _write(original: Path, scores: Dataset, chosen: NDArray[np.bool_], folder: Path) -> None:
    """Copies the chosen originals, a few hundred at a time, with the columns of `scores` that they lack."""
    schema, tables = read_tables(original)
    gained = scores.select_columns([name for name in scores.column_names if name not in schema.names])
    columns = gained.with_format("arrow")[:]

    def rows() -> Iterator[pa.Table]:
        first = 0
        for table in tables:
            part = columns.slice(first, len(table))
            mask = pa.array(chosen[first : first + len(table)])
            first += len(table)
            for name in part.column_names:
                table = table.append_column(part.schema.field(name), part.column(name))
            yield table.filter(mask)

    write_split(rows(), Features({**Features.from_arrow_schema(schema), **gained.features}), folder)
