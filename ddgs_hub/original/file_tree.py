"""A tree of folders and files, on this machine or in a Hub repository at one commit; nothing outside of it is read."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from huggingface_hub import HfFileSystem
from huggingface_hub.hf_api import RepoFile

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.hub_client import Pinned, make_client, patiently
from ddgs_hub.core.text import quoted
from ddgs_hub.core.tokens import given_token

MOST_BYTES = 2**30  # of a file; no image for training comes near
HIDDEN = (".", "__")  # first characters of names that systems, editors and zip programs give: .DS_Store, __MACOSX


@dataclass
class Entries:
    """What lies directly in a folder.

    Attributes:
        folders: names, sorted.
        files: names, sorted.
        left_out: kind of entry that is left out → how many there are.
    """

    folders: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


class FileTree(Protocol):
    """Folders and files below a root. Paths are relative to the root, whose own path is empty."""

    name: str  # for messages

    def entries(self, path: str, *, follow: bool) -> Entries:
        """What lies in a folder. With `follow`, links to folders count as folders; otherwise they are left out."""

    def read(self, path: str) -> bytes:
        """The bytes of a file."""


class LocalTree:
    """A folder on this machine that the user named.

    A link to a folder may lead anywhere but back to a folder above it. A link to a file is followed only inside the
    root, or inside the linked folder in which the link lies: a dataset from elsewhere must not bring in other files of
    its reader.

    Args:
        root: the folder.
        store: another folder into which links to files may lead; the cache of huggingface_hub stores its files so.
    """

    def __init__(self, root: Path, store: Path | None = None) -> None:
        self.name, self._root = str(root), root
        self._inside = [path.resolve() for path in (root, store) if path]

    def entries(self, path: str, *, follow: bool) -> Entries:
        """See `FileTree`."""
        folder, entries = self._root / path, Entries()
        above = [self._root / parent for parent in (PurePosixPath(path), *PurePosixPath(path).parents)]
        inside = [*self._inside, *(linked.resolve() for linked in above[:-1] if linked.is_symlink())]
        with os.scandir(folder) as scanned:
            for entry in scanned:
                if entry.name.startswith(HIDDEN):
                    entries.left_out["hidden"] += 1
                elif entry.is_dir(follow_symlinks=False):
                    entries.folders.append(entry.name)
                elif entry.is_symlink():
                    self._add_link(Path(entry), inside, entries, to_folders=follow)
                elif entry.is_file():
                    entries.files.append(entry.name)
                else:
                    entries.left_out["pipes, sockets or devices"] += 1
        entries.folders.sort()
        entries.files.sort()
        return entries

    def read(self, path: str) -> bytes:
        """See `FileTree`."""
        with (self._root / path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise InputError(f"{quoted(path)} of {self.name} is larger than {MOST_BYTES >> 20:,} MB: no image is")
        return content

    @staticmethod
    def _add_link(link: Path, inside: list[Path], entries: Entries, *, to_folders: bool) -> None:
        """Adds a link as the file or folder that it leads to, or counts it as left out."""
        try:
            target = link.resolve(strict=True)
        except (OSError, RuntimeError):  # RuntimeError: links that lead to each other, before Python 3.13
            entries.left_out["broken links"] += 1
            return
        if target.is_dir():
            if to_folders and not link.parent.resolve().is_relative_to(target):
                entries.folders.append(link.name)
            else:
                entries.left_out["links to folders"] += 1
        elif target.is_file() and any(target.is_relative_to(folder) for folder in inside):
            entries.files.append(link.name)
        else:
            entries.left_out["links that lead elsewhere"] += 1


class HubTree:
    """The files of a dataset repository at one commit."""

    def __init__(self, pinned: Pinned) -> None:
        self.name, self._pinned, self._hub = pinned.id, pinned, HfFileSystem(token=given_token())
        self._entries: dict[str, Entries] = {"": Entries()}
        api = make_client()
        listed = patiently(
            lambda: list(api.list_repo_tree(pinned.id, recursive=True, repo_type="dataset", revision=pinned.commit))
        )
        for path in sorted(PurePosixPath(entry.path) for entry in listed if isinstance(entry, RepoFile)):
            self._add(path)
        for entries in self._entries.values():
            _leave_out_hidden(entries)

    def entries(self, path: str, *, follow: bool) -> Entries:
        """See `FileTree`; repositories have no links."""
        return self._entries[path]

    def read(self, path: str) -> bytes:
        """See `FileTree`."""
        address = f"datasets/{self._pinned.id}@{self._pinned.commit}/{path}"
        with self._hub.open(address, block_size=0) as file:
            return file.read(MOST_BYTES)

    def _add(self, path: PurePosixPath) -> None:
        """Adds a file to the entries of its folder, and each folder above it to those of its parent."""
        self._entries.setdefault(_key(path.parent), Entries()).files.append(path.name)
        for folder in path.parents:
            if folder.name:
                siblings = self._entries.setdefault(_key(folder.parent), Entries()).folders
                if folder.name not in siblings[-1:]:  # paths are sorted: all files of a folder come in a row
                    siblings.append(folder.name)


def _leave_out_hidden(entries: Entries) -> None:
    for names in (entries.folders, entries.files):
        hidden = [name for name in names if name.startswith(HIDDEN)]
        names[:] = sorted(name for name in names if name not in hidden)
        entries.left_out["hidden"] += len(hidden)


def _key(path: PurePosixPath) -> str:
    """The path of a folder as `entries` takes it: that of the root is empty."""
    return "" if path == PurePosixPath() else str(path)
