"""The last gate of publishing: what goes up are our columns and texts, with the bytes of every image and no token.

Everything before has seen to that. Here it is proved, of the files as they are sent.
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
from datasets import ClassLabel, Features, Image, Value

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.hashing import file_blocks
from ddgs_hub.core.rows import ROWS_PER_GROUP
from ddgs_hub.core.text import one_line, quoted
from ddgs_hub.hub.folders.kinds import Kind

LOOKS_LIKE_A_TOKEN = re.compile(rb"\bhf_[A-Za-z0-9]{30,}\b")
TEXTS = (".json", ".md")
NO_FILE_NAME = r"[/\\:]|^\.{1,2}$"  # of `path` beside the bytes of an image: a folder, an address, a drive
FEATURES = {"image": Image, "label": ClassLabel}  # every other column is a plain value


class Hashes(NamedTuple):
    """What the Hub may know a file by: SHA-256, and git's SHA-1 of the blob."""

    sha256: str
    blob: str


def check_files(kind: Kind, folder: Path, names: Iterable[str], token: str | None) -> dict[str, Hashes]:
    """Refuses files that may not be published, and returns what the Hub will know the others by.

    Args:
        kind: of the folder.
        folder: where they are.
        names: their paths in it.
        token: that of the caller, which is nowhere in them.

    Raises:
        InputError: one is a link that leads out of the folder, it holds the token or, a text, what looks like one, or
            rows that this kind does not have: other columns, or an image without bytes or with a path.
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
    """Refuses a Parquet file with other columns, an image without bytes, or a secret; see `check_files`."""
    try:
        with pq.ParquetFile(path) as file:
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
    except Exception as error:  # of a damaged file, pyarrow and datasets raise whatever Python raises
        raise InputError(f"cannot read {path}: {one_line(error, 300)}; write it again") from error


def _check_columns(schema: pa.Schema, columns: Iterable[str], path: Path) -> None:
    known, features = set(columns), Features.from_arrow_schema(schema)
    types = features.arrow_schema
    for name in schema.names:
        if name not in known or schema.names.count(name) > 1:
            raise InputError(f"{path} has a column {quoted(name)} that is not to be published: write it again")
        # What its metadata say decides how others read it, and whether they take a text for a path.
        wanted = FEATURES.get(name, Value)
        if type(features.get(name)) is not wanted or types.field(name).type != schema.field(name).type:
            raise InputError(f"column '{name}' of {path} is no {wanted.__name__}: write it again")


def _check_images(images: pa.StructArray, first_row: int, path: Path) -> None:
    size = pc.fill_null(pc.binary_length(images.field("bytes")), 0)
    named = pc.fill_null(pc.match_substring_regex(images.field("path"), NO_FILE_NAME), False)
    for bad, what in ((pc.or_(pc.is_null(images), pc.equal(size, 0)), "no bytes"), (named, "a path")):
        if rows := np.flatnonzero(bad.to_numpy(zero_copy_only=False)).tolist():
            raise InputError(f"the image of row {first_row + rows[0]} of {path} has {what}: write it again")


def _check_buffers(buffers: Iterable[pa.Buffer | None], secret: bytes, path: Path) -> None:
    """As columns are in memory: in the file they are compressed."""
    if secret and any(re.search(re.escape(secret), buffer) for buffer in buffers if buffer):
        raise _has_token(path)


def _read(path: Path, secret: bytes) -> Hashes:
    """Reads a file once, for its hashes and for what may not be in it."""
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
