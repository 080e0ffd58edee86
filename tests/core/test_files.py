import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.files import expanded
from ddgs_hub.core.rows import parquet_path, read_rows
from ddgs_hub.core.schema import read_bytes
from ddgs_hub.core.weights import read_headers
from ddgs_hub.original import open_source

READERS: dict[str, Callable[[Path], object]] = {
    "JSON": lambda path: read_bytes(path, "facts.json"),
    "weights": lambda path: read_headers([path]),
    "rows": lambda path: read_rows(path.parents[1]),
    "a source": lambda path: open_source(str(path.parents[1]), "train"),
}


@pytest.mark.parametrize("name", READERS)
def test_a_pipe_is_not_waited_for(name: str, tmp_path: Path) -> None:
    path = parquet_path(tmp_path)
    path.parent.mkdir()
    os.mkfifo(path)
    with pytest.raises(InputError, match="is no file"):
        READERS[name](path)


def test_a_device_without_end_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="is no file"):
        read_bytes(tmp_path / "config.json", "config.json")


def test_the_home_of_nobody_is_a_name_like_others() -> None:
    assert expanded("~nobody-of-that-name/x") == Path("~nobody-of-that-name/x")
    assert expanded("~/x") == Path.home() / "x"
