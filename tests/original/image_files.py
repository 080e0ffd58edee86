"""Folders of files for the tests of image folders."""

from collections.abc import Mapping
from pathlib import Path


def write(folder: Path, *paths: str, content: Mapping[str, bytes] = {}) -> Path:
    """Files that hold their own names: nothing here decodes an image."""
    for path in paths:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.get(path, path.encode()))
    return folder
