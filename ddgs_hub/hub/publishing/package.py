"""The folder that is published: its files, checked before anything is sent, and how they compare with a commit."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.file_names import ADAPTER_FILE, CLASSES_FILE
from ddgs_hub.core.front_matter import MOST_OF_A_CARD, read_front_matter
from ddgs_hub.core.schema import Json, read_bytes, read_json
from ddgs_hub.hub.cards import merge_cards, pool_section, render_card, with_pool_section, with_repository
from ddgs_hub.hub.folders.dit import dit_card, read_class_ids
from ddgs_hub.hub.folders.kinds import DISTILLED, DIT, Kind, kind_of
from ddgs_hub.hub.layout import CARD, POOL_CONFIGS, PROVENANCE, PUBLISHED, RECIPE, is_pool_file
from ddgs_hub.hub.provenance import Content, Provenance, parse_provenance
from ddgs_hub.hub.publishing.gate import Hashes, check_files
from ddgs_hub.hub.publishing.remote import Snapshot, Version

AGAIN = "remove it, and write it again"


@dataclass(frozen=True)
class Package:
    """The files of one version.

    Attributes:
        kind: what the folder holds.
        repo_id: where the files are to go.
        card: the generated README.md, with placeholders for the repository's name and the version.
        provenance_values: the JSON values of `provenance.json`, without what publishing adds.
        provenance: what these say.
        files: path in the repository → file on disk, of all other files.
        hashes: path → the hashes by which the Hub knows the file, for `files`.
    """

    kind: Kind
    repo_id: str
    card: str
    provenance_values: Mapping[str, Any]
    provenance: Provenance
    files: Mapping[str, Path]
    hashes: Mapping[str, Hashes]

    @classmethod
    def read(cls, folder: Path, repo_id: str, *, adapter: bool = False, token: str | None = None) -> "Package":
        """Reads and checks a folder of one of the `KINDS`.

        Args:
            folder: what to publish.
            repo_id: where.
            adapter: of a DiT the adapter alone, with a card of its own.
            token: the caller's token, which no file may contain.

        Raises:
            InputError: the folder is of no kind, it does not hold what its provenance says, the front matter of its
                card is no YAML, a file may not be published (see `check_files`), or there is no adapter.
        """
        for name in (CARD, PROVENANCE):
            if not (folder / name).is_file():
                raise InputError(f"{folder} has no {name}: give a run folder, one in its hub/, its dit/ or its scorer/")
        values = read_json(folder / PROVENANCE, Json, str(folder / PROVENANCE))
        provenance = parse_provenance(values, str(folder))
        kind = kind_of(provenance, f"{folder / PROVENANCE}")
        content = provenance.content.to_dict() if provenance.content else {}
        if not kind.keys <= content.keys():
            raise InputError(f"{folder / PROVENANCE} does not say what the {kind.called} was made of: {AGAIN}")
        paths = sorted(path for pattern in kind.files for path in folder.glob(pattern) if path.is_file())
        files = {path.relative_to(folder).as_posix(): path for path in paths}
        hashes = check_files(kind, folder, (CARD, PROVENANCE, *files), token)
        if kind.identify(folder) != content[kind.identity]:
            raise InputError(f"the {kind.identity} of {folder} are not those that its {PROVENANCE} tells of: {AGAIN}")
        card = read_bytes(folder / CARD, str(folder / CARD), MOST_OF_A_CARD).decode("utf-8", errors="replace")
        read_front_matter(card, f"{folder / CARD}")
        if adapter:
            if kind != DIT or not {ADAPTER_FILE, CLASSES_FILE} <= files.keys():
                raise InputError(f"--adapter: {folder} holds no DiT with {ADAPTER_FILE} and {CLASSES_FILE} beside it")
            files = {name: files[name] for name in (RECIPE, ADAPTER_FILE, CLASSES_FILE) if name in files}
            card = render_card(replace(dit_card(provenance, read_class_ids(folder)), pipeline=False, adapter=True))
        return cls(kind, repo_id, card, values, provenance, files, {name: hashes[name] for name in files})

    def card_for(self, snapshot: Snapshot, version: Version | None = None) -> str:
        """The card of a version, with the hand-written parts of a commit's card, and its pool if that is kept.

        Args:
            snapshot: the commit that the version comes on top of.
            version: None: that of the commit, so that equal content gives an equal card.
        """
        card = with_repository(self.card, self.repo_id, str(version or snapshot.version or ""))
        if self.kept_pool(snapshot):
            return merge_cards(with_pool_section(card, pool_section(snapshot.card)), snapshot.card)
        return merge_cards(card, snapshot.card, dropped=POOL_CONFIGS if snapshot.has_pool else ())

    def provenance_for(self, snapshot: Snapshot, version: Version, changes: str) -> str:
        """The text of `provenance.json` of a version that comes on top of a commit."""
        published = {"version": str(version), "changes": changes, "files": [*self.files, *self._other_files(snapshot)]}
        values = {**self.provenance_values, PUBLISHED: published}
        return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    def kept_pool(self, snapshot: Snapshot) -> list[str]:
        """The pool files of a commit that stay: this package has no pool, and its rows were selected from that one."""
        theirs = snapshot.provenance.content
        if self.kind != DISTILLED or self._brings_pool or not theirs or theirs.pool != self._content.pool:
            return []
        return snapshot.pool_files

    def stale(self, snapshot: Snapshot) -> list[str]:
        """Files of an earlier version in a commit that this version does not have."""
        # Foreign files among those of a configuration that this version brings would be loaded with them.
        among_ours = {path for path in snapshot.hashes if self._brings_pool and is_pool_file(path)}
        kept = {*self.files, *self._other_files(snapshot)}
        return sorted((snapshot.our_files(self.provenance.row_pattern) | among_ours) - kept)

    def changed(self, snapshot: Snapshot) -> list[str]:
        """Files that differ between a commit and this version, those that it removes included."""
        paths = [path for path, hashes in self.hashes.items() if snapshot.hashes.get(path) not in hashes]
        if self.card_for(snapshot) != snapshot.card:
            paths.append(CARD)
        theirs = {key: value for key, value in snapshot.provenance_values.items() if key != PUBLISHED}
        if theirs != self.provenance_values:
            paths.append(PROVENANCE)
        return sorted([*paths, *self.stale(snapshot)])

    def next_version(self, newest: tuple[Version, Snapshot] | None) -> tuple[Version, str]:
        """The version that follows the newest one, and what has changed, in words.

        Raises:
            InputError: the newest one is of another kind.
        """
        if newest is None:
            return Version(1, 0, 0), "the first version"
        (major, minor, patch), snapshot = newest
        if snapshot.provenance.content is None:
            return Version(major + 1, 0, 0), f"made by ddgs-hub, which v{major}.{minor}.{patch} was not"
        their_kind = kind_of(snapshot.provenance, f"{PROVENANCE} of {self.repo_id}")
        if their_kind != self.kind:
            raise InputError(
                f"{self.repo_id} holds a {their_kind.called}, this is a {self.kind.called}: give another --repo"
            )
        ours, theirs = self._content.to_dict(), snapshot.provenance.content.to_dict()
        others = [name for key, name in self.kind.made_of.items() if ours[key] != theirs.get(key)]
        if others:
            return Version(major + 1, 0, 0), f"another {', another '.join(others)}"
        if ours[self.kind.identity] != theirs.get(self.kind.identity):
            return Version(major, minor + 1, 0), self.kind.other_rows
        same = f"the same {self.kind.identity}"
        return Version(major, minor, patch + 1), f"{same}; changed: {', '.join(self.changed(snapshot))}"

    def _other_files(self, snapshot: Snapshot) -> list[str]:
        """The version's files that are not in `files`."""
        return [*self.kept_pool(snapshot), CARD, PROVENANCE]

    @property
    def _content(self) -> Content:
        return self.provenance.content or Content()

    @property
    def _brings_pool(self) -> bool:
        return any(is_pool_file(path) for path in self.files)
