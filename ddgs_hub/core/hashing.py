"""Files read for their hashes, a block at a time: weights are gigabytes."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

BLOCK = 2**20  # bytes of a file that are in memory at once


def file_blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, in blocks."""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


def sha256_of(paths: Iterable[Path]) -> str:
    """SHA-256 of the bytes of files, one after the other, in hexadecimal digits."""
    digest = hashlib.sha256()
    for path in paths:
        for block in file_blocks(path):
            digest.update(block)
    return digest.hexdigest()
