"""What a distilled set is made of, as hashes: they decide its next version, and are written into `provenance.json`."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from datasets.fingerprint import generate_random_fingerprint

from ddgs_hub.errors import InputError
from ddgs_hub.rows import read_tables, undecoded

CONTENT = "content"  # the key of `provenance.json`
ROW_COLUMNS = ("label", "wnid", "pool_index", "seed", "difficulty", "difficulty_log", "difficulty_bin")
WEIGHTS = ("adapter.safetensors", "fold-*/*.safetensors", "**/*.safetensors", "**/*.bin", "**/*.pt")
POOL_COLUMNS = ("label", "seed")  # what scoring and sampling add to a pool does not make it another one


def describe_rows(rows: Dataset) -> dict[str, Any]:
    """What `content` says of the distilled rows: their hash, how many there are, and their mean difficulty."""
    difficulty = np.asarray(rows["difficulty"], dtype=np.float64) if "difficulty" in rows.column_names else None
    return {
        "rows": hash_rows(rows, ROW_COLUMNS),
        "num_rows": len(rows),
        "mean_difficulty": None if difficulty is None else round(float(difficulty.mean()), 6),
    }


def hash_pool(rows: Dataset) -> str:
    """The hash by which a pool is known: of its images, their labels and seeds."""
    return hash_rows(rows, POOL_COLUMNS)


def hash_pool_folder(folder: str | Path) -> str:
    """`hash_pool` of the rows in a folder, which need not fit into memory."""
    _, tables = read_tables(folder)
    parts = (Dataset(table, fingerprint=generate_random_fingerprint()) for table in tables)
    return _hash_of(digest for part in parts for digest in _row_digests(part, POOL_COLUMNS))


def hash_rows(rows: Dataset, columns: Sequence[str]) -> str:
    """SHA-256 over the image bytes and those of `columns` that are there; the order of the rows does not matter."""
    return _hash_of(_row_digests(rows, columns))


def _row_digests(rows: Dataset, columns: Sequence[str]) -> Iterator[bytes]:
    names = [name for name in columns if name in rows.column_names]
    for row in undecoded(rows.with_format(None).select_columns(["image", *names])):
        digest = hashlib.sha256(row["image"]["bytes"])
        digest.update(json.dumps([row[name] for name in names]).encode())
        yield digest.digest()


def _hash_of(digests: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


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
