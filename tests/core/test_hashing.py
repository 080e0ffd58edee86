"""Files of any size have the hashes that others compute of them."""

import hashlib
from pathlib import Path

from ddgs_hub.core.hashing import BLOCK, file_blocks, sha256_of


def test_blocks_are_the_file(tmp_path: Path) -> None:
    path, content = tmp_path / "weights", bytes(range(256)) * (BLOCK // 256) * 2 + b"end"
    path.write_bytes(content)
    blocks = list(file_blocks(path))
    assert [len(block) for block in blocks] == [BLOCK, BLOCK, 3]
    assert b"".join(blocks) == content
    (tmp_path / "empty").touch()
    assert list(file_blocks(tmp_path / "empty")) == []
    assert sha256_of([path, tmp_path / "empty", path]) == hashlib.sha256(content * 2).hexdigest()
