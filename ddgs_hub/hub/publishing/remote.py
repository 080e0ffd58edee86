"""A repository on the Hub as publishing sees it: its commits with the hashes of their files, and its versions."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.front_matter import MOST_OF_A_CARD
from ddgs_hub.core.hub_client import persist
from ddgs_hub.core.schema import MOST_BYTES
from ddgs_hub.hub.layout import CARD, PROVENANCE, is_pool_file
from ddgs_hub.hub.provenance import Provenance, parse_provenance, provenance_values
from ddgs_hub.hub.publishing.access import check_name


class Version(NamedTuple):
    """`vMAJOR.MINOR.PATCH`; versions are ordered as their numbers are."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, tag: object) -> "Version | None":
        """The version that a tag names; None where it names none."""
        number = r"(0|[1-9]\d{0,8})"  # Python gives up on thousands of digits
        match = re.fullmatch(rf"v{number}\.{number}\.{number}", str(tag), re.ASCII)
        return cls(*map(int, match.groups())) if match else None

    def __str__(self) -> str:
        return f"v{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True)
class Snapshot:
    """One commit of a repository.

    Attributes:
        commit: its hash.
        private: whether the repository is private.
        hashes: path → SHA-256 of a file in large storage, git's hash of the blob of any other.
        card: the text of README.md; empty where there is none.
        provenance_values: the JSON values of `provenance.json`, to be compared; empty where there is none of ours.
        provenance: what these say.
    """

    commit: str
    private: bool
    hashes: Mapping[str, str]
    card: str = ""
    provenance_values: Mapping[str, Any] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def version(self) -> Version | None:
        """The version that this commit belongs to."""
        return Version.parse(self.provenance.published.version)

    @property
    def has_pool(self) -> bool:
        """Whether an earlier publication brought a pool here."""
        return any(is_pool_file(path) for path in self.provenance.published.files)

    @property
    def pool_files(self) -> list[str]:
        """All files that are loaded as that pool; empty where there is none."""
        return sorted(path for path in self.hashes if self.has_pool and is_pool_file(path))

    def our_files(self, row_pattern: str) -> set[str]:
        """The files that an earlier publication brought here, and all that are loaded as rows by `row_pattern`."""
        brought = {*self.provenance.published.files, *self.pool_files}
        return {path for path in self.hashes if path in brought or fnmatchcase(path, row_pattern)}


class Remote:
    """Reads a repository; writes nothing.

    Its methods raise the errors of huggingface_hub: call them within `persist`.
    """

    def __init__(self, api: HfApi, repo_id: str, repo_type: str = "dataset") -> None:
        self.api, self.repo_id, self.repo_type = api, repo_id, repo_type
        readers: dict[str, Callable[..., Any]] = {"model": api.model_info, "space": api.space_info}
        self._info = readers.get(repo_type, api.dataset_info)

    def snapshot(self, revision: str = "main") -> Snapshot | None:
        """The commit that a branch, a tag or a reference points to; None where there is no such repository."""
        try:
            info = self._info(self.repo_id, revision=revision, files_metadata=True)
        except GatedRepoError:
            raise
        except RepositoryNotFoundError:
            return None
        commit, files = str(info.sha), info.siblings or ()
        hashes = {file.rfilename: file.lfs.sha256 if file.lfs else str(file.blob_id) for file in files}
        where, sizes = f"{self.repo_id} at {commit[:8]}", {file.rfilename: file.size or 0 for file in files}
        for path, most in ((CARD, MOST_OF_A_CARD), (PROVENANCE, MOST_BYTES)):
            if sizes.get(path, 0) > most:  # before it is downloaded
                raise InputError(f"{path} of {where} is larger than {most // 2**20} MB: shorten it there first")
        card, values = "", {}
        if CARD in hashes:
            card = self.download(CARD, commit).read_bytes().decode("utf-8", errors="replace")
        if PROVENANCE in hashes:
            values = provenance_values(self.download(PROVENANCE, commit), where)
        return Snapshot(commit, bool(info.private), hashes, card, values, parse_provenance(values, where))

    def snapshot_of(self, version: str) -> Snapshot:
        """The commit of a version.

        Raises:
            InputError: the tag points to no commit, or the repository is no longer there.
        """
        try:
            snapshot = self.snapshot(version)
        except RevisionNotFoundError as error:
            raise InputError(f"the tag {version} of {self.repo_id} points to no commit: remove it there") from error
        if snapshot is None:
            raise InputError(f"{self.repo_id} was removed meanwhile: check the name")
        return snapshot

    def download(self, path: str, commit: str) -> Path:
        """A file of a commit, in the cache of huggingface_hub."""
        return Path(self.api.hf_hub_download(self.repo_id, path, repo_type=self.repo_type, revision=commit))

    def versions(self) -> dict[Version, str]:
        """Version → what its tag points to, oldest version first; tags that name no version are left out."""
        refs = self.api.list_repo_refs(self.repo_id, repo_type=self.repo_type)
        commits = {Version.parse(tag.name): tag.target_commit for tag in refs.tags}
        return dict(sorted((version, commit) for version, commit in commits.items() if version))

    def pull_requests(self) -> list[str]:
        """References of the pull requests that are neither merged nor closed, newest first."""
        discussions = self.api.get_repo_discussions(
            self.repo_id, repo_type=self.repo_type, discussion_type="pull_request", discussion_status="all"
        )
        numbers = [discussion.num for discussion in discussions if discussion.status in ("open", "draft")]
        return [f"refs/pr/{number}" for number in sorted(numbers, reverse=True)]

    def publishing_commit(self, head: Snapshot) -> str:
        """The commit that wrote the `provenance.json` of `head`; later commits may lie on top of it."""
        entries = self.api.list_repo_tree(self.repo_id, expand=True, revision=head.commit, repo_type=self.repo_type)
        for entry in entries:
            if isinstance(entry, RepoFile) and entry.path == PROVENANCE and entry.last_commit:
                return entry.last_commit.oid
        return head.commit


def find_version(tags: Mapping[Version, str], name: str, repo_id: str) -> Version:
    """The version of a repository that has this name.

    Raises:
        InputError: there is none; the message lists those that there are.
    """
    version = Version.parse(name)
    if version is None or version not in tags:
        raise InputError(f"{repo_id} has no version '{name}': its versions are {', '.join(map(str, tags)) or 'none'}")
    return version


def find_remote(api: HfApi, repo_id: str) -> Remote:
    """The dataset of a name, or else the model.

    Raises:
        InputError: there is neither, the Hub refuses, or it does not answer.
    """
    check_name(repo_id)
    for repo_type in ("dataset", "model"):
        exists = partial(api.repo_exists, repo_id, repo_type=repo_type)
        if persist(repo_id, exists, repo_type=repo_type):
            return Remote(api, repo_id, repo_type)
    raise InputError(
        f"there is no dataset or model {repo_id} on the Hub, or this token may not see it: check the name and the token"
    )
