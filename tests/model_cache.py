"""Models in the cache of huggingface_hub, as an earlier download would have left them there; the Hub is off."""

from pathlib import Path

import pytest
from huggingface_hub import constants

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class ModelCache:
    """The cache of this test, which clients in this process read, and never anything else.

    Args:
        folder: where.
        monkeypatch: of the test.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def repository(self, repo_id: str, commit: str = COMMIT) -> Path:
        """The folder for the files of a model at the only commit of its branch `main`."""
        repository = self.folder / f"models--{repo_id.replace('/', '--')}"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text(commit)
        (repository / "snapshots" / commit).mkdir(parents=True)
        return repository / "snapshots" / commit
