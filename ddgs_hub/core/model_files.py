"""The files of a model, in a folder or in a repository of the Hub, got one by one when they are needed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HTTPError

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.text import quoted
from ddgs_hub.core.tokens import given_token

ON_HUB = "hf-hub:"  # before an id: whatever a folder on this machine is called, the one on the Hub is meant
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
REVISION = r"^([A-Za-z0-9][\w.-]*(/[\w-][\w.-]*)*)?$"  # a commit, a tag, a branch, or none
UNREACHABLE = (OSError, ValueError, EntryNotFoundError, HTTPError)  # of a wrong name, the Hub, or a lost connection
# Keys of configurations by which libraries run code, or fetch it or weights, from where the configuration says.
BEYOND = (
    *("auto_map", "custom_pipeline", "custom_pipelines", "trust_remote_code", "use_kernels", "kernel_config"),
    *("quantization_config", "transformers_weights", "use_pretrained_backbone"),
)
IMPLEMENTATIONS = (None, "eager", "sdpa", "grouped_mm", "batched_mm")  # others are fetched, if not installed


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model.

    Attributes:
        name: a folder, or the id of a repository on the Hub.
        on_hub: whether it is the latter.
        revision: commit, tag or branch in the repository.
        inside: a folder in it; empty: itself.
    """

    name: str
    on_hub: bool
    revision: str | None = None
    inside: str = ""

    @classmethod
    def of(cls, name_or_path: str | Path, revision: str | None = None) -> "ModelFiles":
        """Those of a folder where there is something of that name, else those of a Hub id."""
        name = str(name_or_path)
        on_hub = name.startswith(ON_HUB)
        return cls(name.removeprefix(ON_HUB), on_hub or not Path(name).exists(), revision)

    def within(self, folder: str) -> "ModelFiles":
        """The files of a folder in it."""
        return replace(self, inside=folder)

    def get(self, file: str) -> Path:
        """A file, from the Hub in the cache of huggingface_hub.

        Raises:
            OSError, ValueError, EntryNotFoundError, HTTPError: there is none, or the Hub cannot be reached.
        """
        path = PurePosixPath(self.inside, file)
        if self.on_hub:
            return Path(hf_hub_download(self.name, str(path), revision=self.revision, token=given_token()))
        found = Path(self.name, path)
        if not found.is_file():
            raise FileNotFoundError(f"there is no file {path} in {self.name}")
        return found

    def find(self, file: str) -> Path | None:
        """A file; None where there is none, or nobody knows, since the Hub cannot be reached."""
        try:
            return self.get(file)
        except (EntryNotFoundError, FileNotFoundError):
            return None

    def pinned(self) -> "ModelFiles":
        """The same at the commit that its revision is at: what is read is of one commit. `config.json` is fetched."""
        if not self.on_hub:
            return self
        folder = self.get("config.json").parents[len(PurePosixPath(self.inside).parts)]
        return replace(self, revision=folder.name)


def is_hub_id(name: str) -> bool:
    """Whether a name is that of a repository, and of no place on a machine: `owner/name`."""
    return HUB_ID.fullmatch(name) is not None and ".." not in name


def refuse_code(values: Mapping[str, Any], where: str) -> None:
    """Refuses a configuration that asks for code, or for weights, beyond its own files.

    Raises:
        InputError: names the key.
    """
    for key, value in values.items():
        if (key in BEYOND and value) or (key.endswith("_implementation") and value not in IMPLEMENTATIONS):
            raise InputError(
                f"{where} asks for code or weights beyond its own ({quoted(key)}), which are never fetched"
            )
        if isinstance(value, dict):
            refuse_code(value, where)
