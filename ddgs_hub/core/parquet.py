"""Opens a Parquet file on this machine or on the Hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
from huggingface_hub import HfFileSystem

from ddgs_hub.core.files import refuse_pointer_file, require_file
from ddgs_hub.core.hub_client import reading
from ddgs_hub.core.tokens import given_token


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
            with pq.ParquetFile(path) as file:
                yield file
            return
        # No cache: by default the file system reads ahead, and what lies ahead are images. pyarrow asks for all columns
        # of a row group at once (pre_buffer); the client itself tries again if the connection breaks.
        hub = HfFileSystem(token=given_token())
        with hub.open(path, cache_type="none") as handle, pq.ParquetFile(handle, pre_buffer=True) as file:
            yield file
