"""Folders of files, on this machine or in a Hub repository at one commit, of which nothing else is read."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from huggingface_hub import HfApi, HfFileSystem
from huggingface_hub.hf_api import RepoFile

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.hub_client import Pinned, patiently
from ddgs_hub.core.text import quoted
from ddgs_hub.core.tokens import given_token

MOST_BYTES = 2**30  # of a file; no image that anybody trains with comes near
HIDDEN = (".", "__")  # how names begin that the system, editors and zip programs give: .DS_Store, __MACOSX


@dataclass
class Entries:
    """What lies directly in a folder.

    Attributes:
        folders: names, sorted.
        files: names, sorted.
        left_out: what else was there → how much of it.
    """

    folders: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


class FileTree(Protocol):
    """Folders and files below one folder; paths are relative to it, and that of itself is empty."""

    name: str  # in messages

    def entries(self, path: str, *, follow: bool) -> Entries:
        """What lies in a folder; with `follow` links to folders are folders, else they are left out."""

    def read(self, path: str) -> bytes:
        """The bytes of a file."""


class LocalTree:
    """A folder that the user named, and what links in it lead to where that was clearly meant.

    A link to a folder leads anywhere but back to a folder above it. A link to a file leads to no other place than the
    folder that was named, and the linked folder that the file lies in: a dataset from elsewhere must not bring its
    reader's other files along.

    Args:
        root: the folder.
        store: another folder that links to files may lead into: the cache of huggingface_hub keeps its files so.
    """

    def __init__(self, root: Path, store: Path | None = None) -> None:
        self.name, self._root = str(root), root
        self._inside = [path.resolve() for path in (root, store) if path]

    def entries(self, path: str, *, follow: bool) -> Entries:
        """See `FileTree`."""
        folder, found = self._root / path, Entries()
        above = [self._root / parent for parent in (PurePosixPath(path), *PurePosixPath(path).parents)]
        inside = [*self._inside, *(linked.resolve() for linked in above[:-1] if linked.is_symlink())]
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(HIDDEN):
                    found.left_out["hidden"] += 1
                elif entry.is_dir(follow_symlinks=False):
                    found.folders.append(entry.name)
                elif entry.is_symlink():
                    self._follow(Path(entry), inside, found, to_folders=follow)
                elif entry.is_file():
                    found.files.append(entry.name)
                else:
                    found.left_out["pipes, sockets or devices"] += 1
        found.folders.sort()
        found.files.sort()
        return found

    def read(self, path: str) -> bytes:
        """See `FileTree`."""
        with (self._root / path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise InputError(f"{quoted(path)} of {self.name} is larger than {MOST_BYTES >> 20:,} MB: no image is")
        return content

    @staticmethod
    def _follow(link: Path, inside: list[Path], found: Entries, *, to_folders: bool) -> None:
        try:
            target = link.resolve(strict=True)
        except (OSError, RuntimeError):  # Python below 3.13 raises the latter where links lead to each other
            found.left_out["broken links"] += 1
            return
        if target.is_dir():
            if to_folders and not link.parent.resolve().is_relative_to(target):
                found.folders.append(link.name)
            else:
                found.left_out["links to folders"] += 1
        elif target.is_file() and any(target.is_relative_to(folder) for folder in inside):
            found.files.append(link.name)
        else:
            found.left_out["links that lead elsewhere"] += 1


class HubTree:
    """The files of a dataset repository at one commit."""

    def __init__(self, pinned: Pinned) -> None:
        self.name, self._pinned, self._hub = pinned.id, pinned, HfFileSystem(token=given_token())
        self._found: dict[str, Entries] = {"": Entries()}
        api = HfApi(token=given_token())
        listed = patiently(
            lambda: list(api.list_repo_tree(pinned.id, recursive=True, repo_type="dataset", revision=pinned.commit))
        )
        for path in sorted(PurePosixPath(entry.path) for entry in listed if isinstance(entry, RepoFile)):
            self._add(path)
        for folder in self._found.values():
            _leave_out_hidden(folder)

    def entries(self, path: str, *, follow: bool) -> Entries:
        """See `FileTree`; repositories have no links."""
        return self._found[path]

    def read(self, path: str) -> bytes:
        """See `FileTree`."""
        address = f"datasets/{self._pinned.id}@{self._pinned.commit}/{path}"
        with self._hub.open(address, block_size=0) as file:
            return file.read(MOST_BYTES)

    def _add(self, path: PurePosixPath) -> None:
        self._found.setdefault(_key(path.parent), Entries()).files.append(path.name)
        for folder in path.parents:
            if folder.name:
                siblings = self._found.setdefault(_key(folder.parent), Entries()).folders
                if folder.name not in siblings[-1:]:  # paths are sorted: those of a folder follow each other
                    siblings.append(folder.name)


def _leave_out_hidden(found: Entries) -> None:
    for names in (found.folders, found.files):
        hidden = [name for name in names if name.startswith(HIDDEN)]
        names[:] = sorted(name for name in names if name not in hidden)
        found.left_out["hidden"] += len(hidden)


def _key(path: PurePosixPath) -> str:
    return "" if path == PurePosixPath() else str(path)
