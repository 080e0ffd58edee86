"""The folder that is published: its files, checked before anything is sent, and how they compare with a commit."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ddgs_hub.errors import InputError
from ddgs_hub.hub.cards import render_card, with_repository
from ddgs_hub.hub.content import CONTENT
from ddgs_hub.hub.export import CARD, PROVENANCE
from ddgs_hub.hub.kinds import DISTILLED, DIT, Kind, kind_of
from ddgs_hub.hub.merging import merge_cards, split_card
from ddgs_hub.hub.models import ADAPTER, CLASSES, dit_card
from ddgs_hub.hub.pool_card import POOL_CONFIGS, pool_section, with_pool_section
from ddgs_hub.hub.remote import PUBLISHED, Snapshot, Version, is_pool_file, row_files

TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{30,}\b")


@dataclass(frozen=True)
class Package:
    """The files of one version.

    Attributes:
        kind: what the folder holds.
        repo_id: where they are to go.
        card: the generated README.md, with placeholders for the repository's name and the version.
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
    def read(cls, folder: Path, repo_id: str, *, adapter: bool = False) -> "Package":
        """Reads and checks a folder of one of the `KINDS`.

        Args:
            folder: what to publish.
            repo_id: where.
            adapter: of a DiT the adapter alone, with a card of its own.

        Raises:
            InputError: it is none, it does not hold what its provenance says, its card's front matter is no YAML, or
                something in it looks like a token; or there is no adapter.
        """
        again = "remove it, and write it again"
        for name in (CARD, PROVENANCE):
            if not (folder / name).is_file():
                raise InputError(f"{folder} has no {name}: give a run folder, one in its hub/, its dit/ or its scorer/")
        card = (folder / CARD).read_text(encoding="utf-8")
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
        if adapter:
            if kind != DIT or not {ADAPTER, CLASSES} <= files.keys():
                raise InputError(f"--adapter: {folder} holds no DiT with {ADAPTER} and {CLASSES} beside it")
            files = {name: files[name] for name in (ADAPTER, CLASSES)}
            card = _adapter_card(provenance, files[CLASSES], again)
        return cls(kind, repo_id, card, provenance, files, {name: _hashes(path) for name, path in files.items()})

    def card_for(self, snapshot: Snapshot, version: Version | None = None) -> str:
        """The card of a version, with what people wrote into that of a commit, and with its pool if that is kept.

        Without a version it is the commit's own: where nothing else differs, nor does the card.
        """
        card = with_repository(self.card, self.repo_id, str(version or snapshot.version or ""))
        if self.kept_pool(snapshot):
            return merge_cards(with_pool_section(card, pool_section(snapshot.card)), snapshot.card)
        return merge_cards(card, snapshot.card, dropped=POOL_CONFIGS if snapshot.has_pool else ())

    def kept_pool(self, snapshot: Snapshot) -> list[str]:
        """Files of the pool in a commit, where this comes without its pool and its rows were selected from that one."""
        theirs = snapshot.provenance.get(CONTENT)
        known = theirs.get("pool") if isinstance(theirs, dict) else None
        if self.kind != DISTILLED or self._brings_pool or known != self.provenance[CONTENT]["pool"]:
            return []
        return snapshot.pool_files

    def provenance_for(self, snapshot: Snapshot, version: Version, changes: str) -> str:
        """The text of `provenance.json` of a version that comes on top of a commit."""
        files = [*self.files, *self.kept_pool(snapshot), CARD, PROVENANCE]
        values = {**self.provenance, PUBLISHED: {"version": str(version), "changes": changes, "files": files}}
        return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    def stale(self, snapshot: Snapshot) -> list[str]:
        """Files of an earlier version in a commit that this one does not have."""
        # What somebody put among the files of a configuration that is ours now would be loaded with them.
        taken = {path for path in snapshot.hashes if self._brings_pool and is_pool_file(path)}
        kept = {*self.files, *self.kept_pool(snapshot), CARD, PROVENANCE}
        return sorted((snapshot.own_files(row_files(self.provenance)) | taken) - kept)

    def changed(self, snapshot: Snapshot) -> list[str]:
        """Files whose content in a commit is not this one's, those that are to be removed among them."""
        paths = [path for path, hashes in self.hashes.items() if snapshot.hashes.get(path) not in hashes]
        if self.card_for(snapshot) != snapshot.card:
            paths.append(CARD)
        if {key: value for key, value in snapshot.provenance.items() if key != PUBLISHED} != self.provenance:
            paths.append(PROVENANCE)
        return sorted([*paths, *self.stale(snapshot)])

    @property
    def _brings_pool(self) -> bool:
        return any(is_pool_file(path) for path in self.files)

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


def _adapter_card(provenance: Mapping[str, Any], classes: Path, again: str) -> str:
    """The card of a DiT's adapter without its pipeline."""
    try:
        card = dit_card(provenance, json.loads(classes.read_text(encoding="utf-8")))
    except InputError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{PROVENANCE} or {classes} does not say all that a card says ({error}): {again}") from error
    return render_card(replace(card, pipeline=False, adapter=True))


def _hashes(path: Path) -> tuple[str, str]:
    """What the Hub may know a file by: SHA-256, and git's SHA-1 of the blob."""
    sha256, blob = hashlib.sha256(), hashlib.sha1(f"blob {path.stat().st_size}\0".encode())
    with path.open("rb") as file:
        while chunk := file.read(2**20):  # weights are gigabytes
            sha256.update(chunk)
            blob.update(chunk)
    return sha256.hexdigest(), blob.hexdigest()
