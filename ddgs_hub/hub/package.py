"""The folder that is published: its files, checked before anything is sent, and how they compare with a commit."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddgs_hub.errors import InputError
from ddgs_hub.hub.cards import with_repository
from ddgs_hub.hub.content import CONTENT
from ddgs_hub.hub.export import CARD, PROVENANCE
from ddgs_hub.hub.kinds import Kind, kind_of
from ddgs_hub.hub.merging import merge_cards, split_card
from ddgs_hub.hub.remote import PUBLISHED, Snapshot, Version, row_files

TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{30,}\b")


@dataclass(frozen=True)
class Package:
    """The files of one version.

    Attributes:
        kind: what the folder holds.
        repo_id: where they are to go.
        card: the generated README.md, with the repository's name.
        provenance: of `provenance.json`, without what publishing adds.
        files: path in the repository → file on disk, of all others.
        hashes: path → SHA-256 and git's hash, of those.
    """

    kind: Kind
    repo_id: str
    card: str
    provenance: Mapping[str, Any]
    files: Mapping[str, Path]
    hashes: Mapping[str, tuple[str, str]]

    @classmethod
    def read(cls, folder: Path, repo_id: str) -> "Package":
        """Reads and checks a folder of one of the `KINDS`.

        Raises:
            InputError: it is none, it does not hold what its provenance says, its card's front matter is no YAML, or
                something in it looks like a token.
        """
        again = "remove it, and write it again"
        for name in (CARD, PROVENANCE):
            if not (folder / name).is_file():
                raise InputError(f"{folder} has no {name}: give a run folder, or the folder in its hub/")
        card = with_repository((folder / CARD).read_text(encoding="utf-8"), repo_id)
        split_card(card, f"{folder / CARD}")
        text = (folder / PROVENANCE).read_text(encoding="utf-8")
        try:
            provenance = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{folder / PROVENANCE} is not valid JSON ({error}): {again}") from error
        if not isinstance(provenance, dict):
            raise InputError(f"{folder / PROVENANCE} is no JSON object: {again}")
        kind, content = kind_of(provenance, f"{folder / PROVENANCE}"), provenance.get(CONTENT)
        if not isinstance(content, dict) or not kind.keys <= content.keys():
            raise InputError(f"{folder / PROVENANCE} does not say what the {kind.called} was made of: {again}")
        if kind.identify(folder) != content[kind.identity]:
            raise InputError(f"the {kind.identity} of {folder} are not those that its {PROVENANCE} tells of: {again}")
        for name, value in ((CARD, card), (PROVENANCE, text)):
            if TOKEN.search(value):
                raise InputError(
                    f"{folder / name} holds what looks like an access token: take it out, it would be read"
                )
        paths = sorted(path for pattern in kind.files for path in folder.glob(pattern) if path.is_file())
        files = {path.relative_to(folder).as_posix(): path for path in paths}
        return cls(kind, repo_id, card, provenance, files, {name: _hashes(path) for name, path in files.items()})

    def card_for(self, snapshot: Snapshot) -> str:
        """The card with what people wrote into that of a commit."""
        return merge_cards(self.card, snapshot.card)

    def provenance_for(self, version: Version, changes: str) -> str:
        """The text of `provenance.json` of a version."""
        files = [*self.files, CARD, PROVENANCE]
        values = {**self.provenance, PUBLISHED: {"version": str(version), "changes": changes, "files": files}}
        return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    def stale(self, snapshot: Snapshot) -> list[str]:
        """Files of an earlier version in a commit that this one does not have."""
        return sorted(snapshot.own_files(row_files(self.provenance)) - {*self.files, CARD, PROVENANCE})

    def changed(self, snapshot: Snapshot) -> list[str]:
        """Files whose content in a commit is not this one's, those that are to be removed among them."""
        paths = [path for path, hashes in self.hashes.items() if snapshot.hashes.get(path) not in hashes]
        if self.card_for(snapshot) != snapshot.card:
            paths.append(CARD)
        if {key: value for key, value in snapshot.provenance.items() if key != PUBLISHED} != self.provenance:
            paths.append(PROVENANCE)
        return sorted([*paths, *self.stale(snapshot)])

    def next_version(self, newest: tuple[Version, Snapshot] | None) -> tuple[Version, str]:
        """The version that follows the newest one, and in words what has changed.

        Raises:
            InputError: the newest one is of another kind.
        """
        if newest is None:
            return Version(1, 0, 0), "the first version"
        (major, minor, patch), snapshot = newest
        ours, theirs = self.provenance[CONTENT], snapshot.provenance.get(CONTENT)
        if not isinstance(theirs, dict):
            return Version(major + 1, 0, 0), f"made by ddgs-hub, which v{major}.{minor}.{patch} was not"
        there = kind_of(snapshot.provenance, f"{PROVENANCE} of {self.repo_id}")
        if there != self.kind:
            raise InputError(
                f"{self.repo_id} holds a {there.called}, this is a {self.kind.called}: give another --repo"
            )
        others = [name for key, name in self.kind.made_of.items() if ours[key] != theirs.get(key)]
        if others:
            return Version(major + 1, 0, 0), f"another {', another '.join(others)}"
        if ours[self.kind.identity] != theirs.get(self.kind.identity):
            return Version(major, minor + 1, 0), self.kind.other_rows
        same = f"the same {self.kind.identity}"
        return Version(major, minor, patch + 1), f"{same}; changed: {', '.join(self.changed(snapshot))}"


def _hashes(path: Path) -> tuple[str, str]:
    """What the Hub may know a file by: SHA-256, and git's SHA-1 of the blob."""
    sha256, blob = hashlib.sha256(), hashlib.sha1(f"blob {path.stat().st_size}\0".encode())
    with path.open("rb") as file:
        while chunk := file.read(2**20):  # weights are gigabytes
            sha256.update(chunk)
            blob.update(chunk)
    return sha256.hexdigest(), blob.hexdigest()
