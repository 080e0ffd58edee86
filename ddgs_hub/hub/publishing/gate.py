"""The last gate of publishing: only our columns and texts go up, with the bytes of every image and without a token.

All earlier code should write nothing else. This module checks the very files that are sent.
"""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, Image, List, Value

from ddgs_hub.core.columns import COLUMNS
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.hashing import file_blocks
from ddgs_hub.core.parquet import PAGE_BY_PAGE
from ddgs_hub.core.rows import ROWS_PER_GROUP
from ddgs_hub.core.text import one_line, quoted
from ddgs_hub.hub.folders.kinds import Kind

LOOKS_LIKE_A_TOKEN = re.compile(rb"\bhf_[A-Za-z0-9]{30,}\b")
TEXTS = (".json", ".md", ".yaml")
NO_FILE_NAME = r"[/\\:]|^\.{1,2}$"  # a `path` beside the bytes of an image that has a folder, an address or a drive
FEATURES = {"image": Image, "label": ClassLabel}  # all other columns are plain values, or lists of them


class Hashes(NamedTuple):
    """The hashes by which the Hub may know a file: SHA-256, and git's SHA-1 of the blob."""

    sha256: str
    blob: str


def check_files(kind: Kind, folder: Path, names: Iterable[str], token: str | None) -> dict[str, Hashes]:
    """Refuses files that may not be published; returns the hashes of each.

    Args:
        kind: of the folder.
        folder: where the files are.
        names: their paths in it.
        token: the caller's token, which no file may contain.

    Raises:
        InputError: a file is a link that leads out of the folder, it holds the token, it is a text with what looks like
            a token, or its rows are not of this kind: another column, an image without bytes, or one with a path.
    """
    secret, checked = (token or "").encode(), {}
    for name in names:
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{path} is a link that leads out of {folder}: put the file itself there")
        if path.suffix == ".parquet":
            check_rows(path, kind.columns[name.split("/")[0]], secret)
        checked[name] = _read(path, secret)
    return checked


def check_rows(path: Path, columns: Iterable[str], secret: bytes = b"") -> None:
    """Refuses a Parquet file for its columns, its images, or the token; see `check_files`.

    Args:
        path: the file.
        columns: those that it may have.
        secret: the token.
    """
    try:
        with pq.ParquetFile(path, **PAGE_BY_PAGE) as file:
            _check_columns(file.schema_arrow, columns, path)
            _check_buffers([file.schema_arrow.serialize()], secret, path)
            row = 0
            for batch in file.iter_batches(ROWS_PER_GROUP):
                if "image" in batch.schema.names:
                    _check_images(batch.column("image"), row, path)
                _check_buffers([buffer for column in batch.columns for buffer in column.buffers()], secret, path)
                row += len(batch)
    except InputError:
        raise
    except Exception as error:  # for a damaged file, pyarrow and datasets can raise anything
        raise InputError(f"cannot read {path}: {one_line(error, 300)}; write it again") from error


def _check_columns(schema: pa.Schema, columns: Iterable[str], path: Path) -> None:
    allowed, features = set(columns), Features.from_arrow_schema(schema)
    types = features.arrow_schema
    for name in schema.names:
        if name not in allowed or schema.names.count(name) > 1:
            raise InputError(f"{path} has a column {quoted(name)} that is not to be published: write it again")
        # The file's metadata decide how others read the column, and whether they take a text for a path.
        ours, feature = COLUMNS[name], features.get(name)
        wanted = List if isinstance(ours, List) else FEATURES.get(name, Value)
        fits = feature == ours if wanted is List else type(feature) is wanted  # a list may hold anything else
        if not fits or types.field(name).type != schema.field(name).type:
            raise InputError(f"column '{name}' of {path} is no {wanted.__name__}: write it again")


def _check_images(images: pa.StructArray, first_row: int, path: Path) -> None:
    size = pc.fill_null(pc.binary_length(images.field("bytes")), 0)
    named = pc.fill_null(pc.match_substring_regex(images.field("path"), NO_FILE_NAME), False)
    for bad, what in ((pc.or_(pc.is_null(images), pc.equal(size, 0)), "no bytes"), (named, "a path")):
        if rows := np.flatnonzero(bad.to_numpy(zero_copy_only=False)).tolist():
            raise InputError(f"the image of row {first_row + rows[0]} of {path} has {what}: write it again")


def _check_buffers(buffers: Iterable[pa.Buffer | None], secret: bytes, path: Path) -> None:
    """Looks for the token in columns as they are in memory: in the file they are compressed."""
    if secret and any(re.search(re.escape(secret), buffer) for buffer in buffers if buffer):
        raise _has_token(path)


def _read(path: Path, secret: bytes) -> Hashes:
    """Reads a file once: for its hashes, and for tokens."""
    sha256, blob = hashlib.sha256(), hashlib.sha1(f"blob {path.stat().st_size}\0".encode())
    tail = b""  # of the block before: a token may lie across two
    for block in file_blocks(path):
        sha256.update(block)
        blob.update(block)
        seen = tail + block
        if secret and secret in seen:
            raise _has_token(path)
        if path.suffix in TEXTS and LOOKS_LIKE_A_TOKEN.search(seen):
            raise InputError(f"{path} holds what looks like an access token: take it out, it would be read")
        tail = seen[-max(len(secret), 100) :]
    return Hashes(sha256.hexdigest(), blob.hexdigest())


def _has_token(path: Path) -> InputError:
    return InputError(f"the token is written in {path}: take it out, and get a new one")
