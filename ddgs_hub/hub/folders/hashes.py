"""What is published, as hashes: they decide its next version, and are written into `provenance.json`."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.file_names import ADAPTER_FILE
from ddgs_hub.core.rows import ROWS_PER_GROUP, read_tables
from ddgs_hub.hub.layout import DEFAULT, parquet_pattern

ROW_COLUMNS = ("label", "wnid", "pool_index", "seed", "difficulty", "difficulty_log", "difficulty_bin")
SCORED_COLUMNS = ("label", "wnid", "source_index", "difficulty")
WEIGHTS = (ADAPTER_FILE, "fold-*/*.safetensors", "**/*.safetensors", "**/*.bin", "**/*.pt")
POOL_COLUMNS = ("label", "seed")  # what scoring and sampling add to a pool does not make it another one


def describe_rows(rows: Dataset) -> dict[str, Any]:
    """What `content` says of the distilled rows: their hash, how many there are, and their mean difficulty."""
    difficulty = np.asarray(rows["difficulty"], dtype=np.float64) if "difficulty" in rows.column_names else None
    return {
        "rows": hash_rows(rows, ROW_COLUMNS),
        "num_rows": len(rows),
        "mean_difficulty": None if difficulty is None else round(float(difficulty.mean()), 6),
    }


def hash_pool(folder: str | Path) -> str:
    """The hash by which a pool is known: of its images, their labels and seeds; they need not fit into memory."""
    return hash_tables(read_tables(folder)[1], POOL_COLUMNS)


def hash_rows(rows: Dataset, columns: Sequence[str]) -> str:
    """SHA-256 over the image bytes and those of `columns` that are there; the order of the rows does not matter."""
    return hash_tables(rows.with_format("arrow").iter(ROWS_PER_GROUP), columns)


def hash_tables(tables: Iterable[pa.Table], columns: Sequence[str]) -> str:
    """What `hash_rows` gives for the same rows, which need not fit into memory, and need have no images."""
    hashes = []
    for table in tables:
        names = [name for name in columns if name in table.column_names]
        images = ["image"] if "image" in table.column_names else []
        for row in table.select([*images, *names]).to_pylist():
            digest = hashlib.sha256(row["image"]["bytes"] if images else b"")
            digest.update(json.dumps([row[name] for name in names]).encode())
            hashes.append(digest.digest())
    return hashlib.sha256(b"".join(sorted(hashes))).hexdigest()


def hash_scored(folder: str | Path) -> str:
    """The hash by which the rows of a scored original are known, whatever its split is called.

    Raises:
        InputError: the folder has no rows, or they cannot be read.
    """
    splits = sorted(
        {path.name.rsplit("-of-", 1)[0].rsplit("-", 1)[0] for path in Path(folder).glob(parquet_pattern(DEFAULT))}
    )
    if len(splits) != 1:
        raise InputError(f"{folder} has not one split in its data/ ({', '.join(splits) or 'none'}): score it again")
    return hash_tables(read_tables(folder, splits[0])[1], SCORED_COLUMNS)


def hash_weights(path: str | Path) -> str:
    """SHA-256 over the weights in a folder, or over a file.

    Of a folder an adapter alone counts, which knows its base, or the folds of a cross-fitted scorer, else every
    safetensors file, or where there is none every file of another format.

    Raises:
        InputError: there are none.
    """
    folder = Path(path)
    if folder.is_file():
        folder, files = folder.parent, [folder]
    else:
        found = (sorted(folder.glob(pattern)) for pattern in WEIGHTS)
        files = next((paths for paths in found if paths), [])
    if not files:
        raise InputError(f"{folder} holds no *.safetensors: nothing tells this model from another; save it again")
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as file:
            while chunk := file.read(2**20):
                digest.update(chunk)
    return digest.hexdigest()
