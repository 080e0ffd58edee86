"""The folder that is published: its files, checked before anything is sent, and how they compare with a commit."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub.utils.sha import git_hash

from ddgs_hub.errors import InputError
from ddgs_hub.hub.cards import with_repository
from ddgs_hub.hub.content import CONTENT, describe_rows
from ddgs_hub.hub.export import CARD, PROVENANCE
from ddgs_hub.hub.merging import merge_cards, split_card
from ddgs_hub.hub.remote import PUBLISHED, Snapshot, Version
from ddgs_hub.rows import read_rows

SOURCES = {"pool": "pool", "dit": "DiT", "scorer": "scorer"}  # another one of these is another major version
TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{30,}\b")


@dataclass(frozen=True)
class Package:
    """The files of one version.

    Attributes:
        repo_id: where they are to go.
        card: the generated README.md, with the repository's name.
        provenance: of `provenance.json`, without what publishing adds.
        files: path in the repository → file on disk, of all others.
        hashes: path → SHA-256 and git's hash, of those.
    """

    repo_id: str
    card: str
    provenance: Mapping[str, Any]
    files: Mapping[str, Path]
    hashes: Mapping[str, tuple[str, str]]

    @classmethod
    def read(cls, folder: Path, repo_id: str) -> "Package":
        """Reads and checks a folder that `export_dataset` wrote.

        Raises:
            InputError: it is none, its rows are not those of its provenance, its card's front matter is no YAML, or
                something in it looks like a token.
        """
        again = "remove it, and let `ddgs-hub run` write it again"
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
        content = provenance.get(CONTENT) if isinstance(provenance, dict) else None
        if not isinstance(content, dict) or not {"rows", *SOURCES} <= content.keys():
            raise InputError(f"{folder / PROVENANCE} does not say what the rows were made of: {again}")
        if describe_rows(read_rows(folder))["rows"] != content["rows"]:
            raise InputError(f"the rows of {folder} are not those that its {PROVENANCE} tells of: {again}")
        for name, value in ((CARD, card), (PROVENANCE, text)):
            if TOKEN.search(value):
                raise InputError(
                    f"{folder / name} holds what looks like an access token: take it out, it would be read"
                )
        paths = sorted(path for room in ("data", "figures") for path in (folder / room).glob("*") if path.is_file())
        files = {path.relative_to(folder).as_posix(): path for path in paths}
        return cls(repo_id, card, provenance, files, {name: _hashes(path) for name, path in files.items()})

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
        return sorted(snapshot.own_files - {*self.files, CARD, PROVENANCE})

    def changed(self, snapshot: Snapshot) -> list[str]:
        """Files whose content in a commit is not this one's, those that are to be removed among them."""
        paths = [path for path, hashes in self.hashes.items() if snapshot.hashes.get(path) not in hashes]
        if self.card_for(snapshot) != snapshot.card:
            paths.append(CARD)
        if {key: value for key, value in snapshot.provenance.items() if key != PUBLISHED} != self.provenance:
            paths.append(PROVENANCE)
        return sorted([*paths, *self.stale(snapshot)])

    def next_version(self, newest: tuple[Version, Snapshot] | None) -> tuple[Version, str]:
        """The version that follows the newest one, and in words what has changed."""
        if newest is None:
            return Version(1, 0, 0), "the first version"
        (major, minor, patch), snapshot = newest
        ours, theirs = self.provenance[CONTENT], snapshot.provenance.get(CONTENT)
        if not isinstance(theirs, dict):
            return Version(major + 1, 0, 0), f"made by ddgs-hub, which v{major}.{minor}.{patch} was not"
        others = [name for key, name in SOURCES.items() if ours[key] != theirs.get(key)]
        if others:
            return Version(major + 1, 0, 0), f"another {', another '.join(others)}"
        if ours["rows"] != theirs.get("rows"):
            return Version(major, minor + 1, 0), "new rows from the same pool"
        return Version(major, minor, patch + 1), f"the same rows; changed: {', '.join(self.changed(snapshot))}"


def _hashes(path: Path) -> tuple[str, str]:
    """What the Hub may know a file by: SHA-256, and git's."""
    content = path.read_bytes()
    return hashlib.sha256(content).hexdigest(), git_hash(content)
