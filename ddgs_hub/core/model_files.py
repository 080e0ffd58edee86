"""The files of a model, in a folder or in a repository on the Hub, fetched one by one when they are needed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HTTPError

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.file_names import CONFIG_FILE
from ddgs_hub.core.files import expanded
from ddgs_hub.core.revisions import named_revision
from ddgs_hub.core.text import quoted
from ddgs_hub.core.tokens import given_token

HUB_PREFIX = "hf-hub:"  # before an id: the model on the Hub is meant, even if a folder here has that name
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
REVISION = r"^([A-Za-z0-9][\w.-]*(/[\w-][\w.-]*)*)?$"  # a commit, a tag, a branch, or none
UNREACHABLE = (OSError, ValueError, EntryNotFoundError, HTTPError)  # for a wrong name or a lost connection
# Keys of a configuration that make libraries run code, or fetch code or weights from a place that it names.
CODE_KEYS = (
    *("auto_map", "custom_pipeline", "custom_pipelines", "trust_remote_code", "use_kernels", "kernel_config"),
    *("quantization_config", "transformers_weights", "use_pretrained_backbone"),
)
IMPLEMENTATIONS = (None, "eager", "sdpa", "grouped_mm", "batched_mm")  # others may be fetched


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model.

    Attributes:
        name: a folder, or the id of a repository on the Hub.
        on_hub: whether `name` is an id.
        revision: commit, tag or branch of the repository; None: its main branch.
        inside: folder of the model in the folder or repository; empty: the whole.
    """

    name: str
    on_hub: bool
    revision: str | None = None
    inside: str = ""

    @classmethod
    def of(cls, name_or_path: str | Path, revision: str | None = None) -> "ModelFiles":
        """The files of a folder, if there is one of that name, or else of a Hub id or `owner/name@revision`."""
        name, local = str(name_or_path), expanded(name_or_path)
        if local.exists() and not name.startswith(HUB_PREFIX):
            return cls(str(local), False, revision)
        name, revision = named_revision(name, revision)
        return cls(name.removeprefix(HUB_PREFIX), True, revision)

    def within(self, folder: str) -> "ModelFiles":
        """The files in a folder of the model, such as a component of a pipeline."""
        return replace(self, inside=folder)

    def get(self, file: str) -> Path:
        """The path of a file; one on the Hub is fetched into the cache of huggingface_hub.

        Raises:
            OSError, ValueError, EntryNotFoundError, HTTPError: there is no such file, or the Hub cannot be reached.
        """
        path = PurePosixPath(self.inside, file)
        if self.on_hub:
            return Path(hf_hub_download(self.name, str(path), revision=self.revision, token=given_token()))
        local = Path(self.name, path)
        if not local.is_file():
            raise FileNotFoundError(f"there is no file {path} in {self.name}")
        return local

    def find(self, file: str) -> Path | None:
        """The path of a file; None if there is no such file, or if it is not cached and the Hub cannot be reached."""
        try:
            return self.get(file)
        except (EntryNotFoundError, FileNotFoundError):
            return None

    def pinned(self) -> "ModelFiles":
        """The same files at the commit of the revision, so that all are of one commit. Fetches `config.json`."""
        if not self.on_hub:
            return self
        folder = self.get(CONFIG_FILE).parents[len(PurePosixPath(self.inside).parts)]
        return replace(self, revision=folder.name)


def is_hub_id(name: str) -> bool:
    """Whether a name is `owner/name`, as of a repository, and cannot be a path that leads out of a folder."""
    return HUB_ID.fullmatch(name) is not None and ".." not in name


def refuse_code(values: Mapping[str, Any], where: str) -> None:
    """Refuses a configuration that asks for code or weights outside of the model's own files.

    Args:
        values: of the configuration, whatever is nested in them.
        where: the configuration, for messages.

    Raises:
        InputError: the message names the key.
    """
    for key, value in values.items():
        if (key in CODE_KEYS and value) or (key.endswith("_implementation") and value not in IMPLEMENTATIONS):
            raise InputError(
                f"{where} asks for code or weights beyond its own ({quoted(key)}), which are never fetched"
            )
        if isinstance(value, dict):
            refuse_code(value, where)
