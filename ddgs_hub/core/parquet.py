"""Opens a Parquet file on this machine or on the Hub, and writes one: the only place where Parquet is written."""

import io
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import HfFileSystem

from ddgs_hub.core.files import refuse_pointer_file, require_file
from ddgs_hub.core.hub_client import reading
from ddgs_hub.core.tokens import given_token

GROUP_BYTES = 100 * 10**6  # of rows in a row group, as datasets has it
# A page of images ends at this size: with images that are larger each has a page of its own. Where a row goes, the
# other pages keep their bytes, and the page index leads to single images.
IMAGE_PAGE = 4096
# Of pages whose ends follow from their content, as datasets has it.
CHUNKING = {"min_chunk_size": 256 * 1024, "max_chunk_size": 1024 * 1024, "norm_level": 0}

PAGE_BY_PAGE = {"buffer_size": 2**20, "pre_buffer": False}  # of a local file: else a row group is read as a whole


@contextmanager
def open_parquet(path: str | Path, where: str) -> Iterator[pq.ParquetFile]:
    """Opens a Parquet file for the block; of a file on the Hub only what is read is fetched.

    Args:
        path: on this machine, or an address on the Hub, `hf://datasets/…`.
        where: what the file is a part of, for messages.

    Raises:
        InputError: it is not a Parquet file; or, in the block, what is read is damaged.
        ConnectionLostError: the Hub does not answer.
    """
    with reading(where):
        if not str(path).startswith("hf://"):
            require_file(Path(path), where)
            refuse_pointer_file(Path(path), where)
            with pq.ParquetFile(path, **PAGE_BY_PAGE) as file:
                yield file
            return
        # No cache: by default the file system reads ahead, and what lies ahead are images. pyarrow asks for all columns
        # of a row group at once (pre_buffer); the client itself tries again if the connection breaks.
        hub = HfFileSystem(token=given_token())
        with hub.open(path, cache_type="none") as handle, pq.ParquetFile(handle, pre_buffer=True) as file:
            yield file


def write_parquet(tables: Iterable[pa.Table], schema: pa.Schema, target: Path | io.BytesIO) -> int:
    """Writes tables one after the other as one Parquet file; returns the number of rows.

    The file shares most of its bytes with one of nearly the same rows, so that Xet sends only the rest: encoded images
    are not compressed again, a page ends where an image ends, and pages of other columns where their content says so
    (`python -m benchmarks.versions` counts the bytes). It has a page index.

    Args:
        tables: of this schema, each small enough to be in memory; `GROUP_BYTES` and one table more are held at once.
        schema: of the file.
        target: where to write.

    Raises:
        OSError: the file cannot be written, as on a full disk.
    """
    if isinstance(target, io.BytesIO):
        return _write(tables, schema, target)
    with target.open("wb", buffering=0) as file:  # a full disk is known at once, and the file is closed
        sink = _Sink(file)
        count = _write(tables, schema, sink)
        sink.check()
    return count


class _Sink(io.RawIOBase):
    """Takes what pyarrow writes. With a page index, pyarrow aborts the process after a write that fails, such as on a
    full disk: so none does, and `check` raises the error.
    """

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self._error: OSError | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self._error is None:
            try:
                rest = memoryview(data)
                while rest:  # of a nearly full disk a part is taken
                    rest = rest[self._file.write(rest) :]
            except OSError as error:
                self._error = error
        return len(data)

    def check(self) -> None:
        """Raises the error of the first write that failed."""
        if self._error:
            raise self._error


def _write(tables: Iterable[pa.Table], schema: pa.Schema, sink: "_Sink | io.BytesIO") -> int:
    count = 0
    with pq.ParquetWriter(sink, schema, **_settings(schema)) as writer:
        for group in _row_groups(tables):
            writer.write_table(group, row_group_size=len(group))
            count += len(group)
            del group  # before the next one is gathered
            if isinstance(sink, _Sink):
                sink.check()
        writer.add_key_value_metadata({"content_defined_chunking": json.dumps(CHUNKING)})  # as datasets notes it
    return count


def _row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The tables, joined to groups of at least `GROUP_BYTES`; none is empty."""
    pending: list[pa.Table] = []
    size = 0
    for table in tables:
        pending.append(table)
        size += table.nbytes
        if size >= GROUP_BYTES:
            yield pa.concat_tables(pending)
            pending, size = [], 0
    if any(map(len, pending)):
        yield pa.concat_tables(pending)


def _settings(schema: pa.Schema) -> dict[str, Any]:
    """How the columns of a schema are written; pyarrow knows them by the paths of their leaves."""
    leaves = [leaf for field in schema for leaf in _leaves(field.name, field.type)]
    encoded = {path for path, kind in leaves if pa.types.is_binary(kind) or pa.types.is_large_binary(kind)}
    settings: dict[str, Any] = {
        "compression": {path: "none" if path in encoded else "zstd" for path, _ in leaves},
        # Numbers hardly repeat, but for labels and bins, which zstd packs as small.
        "use_dictionary": [path for path, kind in leaves if pa.types.is_string(kind)],
        "write_statistics": [path for path, _ in leaves if path not in encoded],  # those of images are whole images
        "write_page_index": True,
        "use_content_defined_chunking": CHUNKING,
    }
    if encoded:  # the size of a page is looked at after every row
        settings |= {"data_page_size": IMAGE_PAGE, "write_batch_size": 1}
    return settings


def _leaves(path: str, kind: pa.DataType) -> list[tuple[str, pa.DataType]]:
    """The leaves of a column: their paths in a Parquet file, and their types."""
    if pa.types.is_struct(kind):
        return [leaf for field in kind for leaf in _leaves(f"{path}.{field.name}", field.type)]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _leaves(f"{path}.list.element", kind.value_type)
    return [(path, kind)]
