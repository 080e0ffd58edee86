"""Hashes of what is published. They decide which version comes next, and are written into `provenance.json`."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.file_names import ADAPTER_FILE, ANY_FOLD
from ddgs_hub.core.hashing import file_blocks
from ddgs_hub.core.rows import ROWS_PER_GROUP, read_tables
from ddgs_hub.core.soft_labels import SOFT_LABEL_COLUMNS
from ddgs_hub.hub.layout import DEFAULT, parquet_pattern

ROW_COLUMNS = (
    *("label", "wnid", "pool_index", "seed", "difficulty", "difficulty_log", "difficulty_bin"),
    *SOFT_LABEL_COLUMNS,
)
SCORED_COLUMNS = ("label", "wnid", "source_index", "difficulty", *SOFT_LABEL_COLUMNS)
POOL_COLUMNS = ("label", "seed")  # a pool stays the same when scoring and sampling add columns to it
# Patterns of weights: the first one that matches a file decides which files count.
WEIGHTS = (ADAPTER_FILE, f"{ANY_FOLD}/*.safetensors", "**/*.safetensors", "**/*.bin", "**/*.pt")


def describe_rows(rows: Dataset) -> dict[str, Any]:
    """What `content` says of the distilled rows: `rows` (their hash), `num_rows` and `mean_difficulty`."""
    difficulty = np.asarray(rows["difficulty"], dtype=np.float64) if "difficulty" in rows.column_names else None
    return {
        "rows": hash_rows(rows, ROW_COLUMNS),
        "num_rows": len(rows),
        "mean_difficulty": None if difficulty is None else round(float(difficulty.mean()), 6),
    }


def hash_rows(rows: Dataset, columns: Sequence[str]) -> str:
    """`hash_tables` of a dataset."""
    return hash_tables(rows.with_format("arrow").iter(ROWS_PER_GROUP), columns)


def hash_scores(original: Dataset) -> str:
    """The hash of the labels and difficulties of an original, as `OpenedPool` has them."""
    return hash_rows(original.select_columns(["label", "difficulty"]), ("label", "difficulty"))


def hash_tables(tables: Iterable[pa.Table], columns: Sequence[str]) -> str:
    """SHA-256 over the bytes of the images and over `columns`, in hexadecimal digits.

    The order of the rows does not matter, and they need not fit into memory.

    Args:
        tables: the rows, in parts; `image` may be missing.
        columns: those that count; columns that the rows lack are ignored.
    """
    hashes = []
    for table in tables:
        names = [name for name in columns if name in table.column_names]
        images = ["image"] if "image" in table.column_names else []
        for row in table.select([*images, *names]).to_pylist():
            digest = hashlib.sha256(row["image"]["bytes"] if images else b"")
            digest.update(json.dumps([row[name] for name in names]).encode())
            hashes.append(digest.digest())
    return hashlib.sha256(b"".join(sorted(hashes))).hexdigest()


def hash_distilled(folder: str | Path) -> str:
    """The hash of the rows of a distilled dataset.

    Raises:
        InputError: the folder has no rows, or they cannot be read.
    """
    return hash_tables(read_tables(folder)[1], ROW_COLUMNS)


def hash_pool(folder: str | Path) -> str:
    """The hash of a pool: of its images, their labels and seeds.

    Raises:
        InputError: the folder has no rows, or they cannot be read.
    """
    return hash_pool_rows(read_tables(folder)[1])


def hash_pool_rows(tables: Iterable[pa.Table]) -> str:
    """`hash_pool` of rows, in parts."""
    return hash_tables(tables, POOL_COLUMNS)


def hash_scored(folder: str | Path) -> str:
    """The hash of the rows of a scored original, whatever its split is called.

    Raises:
        InputError: the folder has no rows, or they cannot be read.
    """
    files = Path(folder).glob(parquet_pattern(DEFAULT))
    splits = sorted({path.name.rsplit("-of-", 1)[0].rsplit("-", 1)[0] for path in files})
    if len(splits) != 1:
        raise InputError(f"{folder} has not one split in its data/ ({', '.join(splits) or 'none'}): score it again")
    return hash_tables(read_tables(folder, splits[0])[1], SCORED_COLUMNS)


def hash_weights(path: str | Path) -> str:
    """SHA-256 over the weights of a model, in hexadecimal digits.

    Args:
        path: a file; or a folder, of which the adapter alone counts (it says which base it belongs to), or the folds of
            a cross-fitted scorer, or else every safetensors file, or else every file of another format.

    Raises:
        InputError: there are no weights.
    """
    folder = Path(path)
    if folder.is_file():
        folder, files = folder.parent, [folder]
    else:
        matches = (sorted(folder.glob(pattern)) for pattern in WEIGHTS)
        files = next((paths for paths in matches if paths), [])
    if not files:
        raise InputError(f"{folder} holds no *.safetensors: nothing tells this model from another; save it again")
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(folder).as_posix().encode())
        for block in file_blocks(file):
            digest.update(block)
    return digest.hexdigest()
