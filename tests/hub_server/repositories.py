"""Repositories on disk: files by their hash, commits as JSON, branches and tags in one file each repository."""

import dataclasses
import hashlib
import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import takewhile
from pathlib import Path
from typing import IO, Any

from hub_server.messages import CHUNK, HubError

LFS_SUFFIXES = (".parquet", ".arrow", ".safetensors", ".bin", ".pt", ".ckpt", ".npz", ".png", ".jpg", ".zip", ".tar")
LFS_SIZE = 10 * 1024**2  # the Hub asks for LFS above 10 MB, whatever the name
MAIN = "refs/heads/main"


@dataclass(frozen=True)
class File:
    """A file of a commit: `oid` is git's hash of what git stores (for LFS files that is the pointer)."""

    path: str
    size: int
    sha256: str
    oid: str
    lfs: bool


@dataclass(frozen=True)
class Commit:
    sha: str
    message: str
    description: str
    parent: str | None
    author: str
    date: str
    files: dict[str, File]


def blob_oid(content: bytes) -> str:
    """Git's name of a blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def lfs_pointer(sha256: str, size: int) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def is_lfs(path: str, size: int, sample: bytes) -> bool:
    """Whether the Hub would store a file with LFS: by its name, its size, or because it is not text."""
    return size > 0 and (path.endswith(LFS_SUFFIXES) or size > LFS_SIZE or b"\0" in sample)


def _write_json(path: Path, value: Any) -> None:
    whole = path.with_name(path.name + ".new")
    whole.write_text(json.dumps(value, indent=1))
    whole.replace(path)


class Repository:
    """One repository, everything read from its folder: nothing is lost when the server is."""

    def __init__(self, kind: str, repo_id: str, folder: Path) -> None:
        self.kind, self.id, self.folder = kind, repo_id, folder

    def create(self, author: str, *, private: bool) -> None:
        for room in ("blobs", "commits"):
            (self.folder / room).mkdir(parents=True)
        self.save_settings({"private": private, "gated": False, "granted": [], "closed": []})
        attributes = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES)
        _write_json(self.folder / "refs.json", {})
        self.commit(MAIN, None, {".gitattributes": self.store(attributes.encode())}, "initial commit", author=author)

    # Settings

    @property
    def settings(self) -> dict[str, Any]:
        """`private`, `gated` (False, "auto" or "manual") and `granted`, who passed the gate; `closed` pull requests."""
        return json.loads((self.folder / "settings.json").read_text())

    def save_settings(self, settings: Mapping[str, Any]) -> None:
        _write_json(self.folder / "settings.json", settings)

    # References

    @property
    def refs(self) -> dict[str, str]:
        """Full name of every branch, tag and pull request → commit."""
        return json.loads((self.folder / "refs.json").read_text())

    def set_ref(self, name: str, sha: str | None) -> None:
        """Points a reference at a commit, or removes it."""
        refs = {**self.refs, name: sha}
        _write_json(self.folder / "refs.json", {key: value for key, value in refs.items() if value})

    def _named(self, prefix: str) -> dict[str, str]:
        return {name[len(prefix) :]: sha for name, sha in self.refs.items() if name.startswith(prefix)}

    @property
    def branches(self) -> dict[str, str]:
        return self._named("refs/heads/")

    @property
    def tags(self) -> dict[str, str]:
        return self._named("refs/tags/")

    @property
    def pull_requests(self) -> dict[str, str]:
        return self._named("refs/pr/")

    def find(self, revision: str) -> str:
        """The commit that a branch, a tag, a full reference, a hash or at least seven digits of one mean."""
        refs = self.refs
        for name in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if (sha := refs.get(name)) and (self.folder / "commits" / f"{sha}.json").is_file():
                return sha
        found = [path.stem for path in (self.folder / "commits").glob("*.json") if path.stem.startswith(revision)]
        if len(revision) < 7 or len(found) != 1:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return found[0]

    # Commits

    def at(self, revision: str = "main") -> Commit:
        value = json.loads((self.folder / "commits" / f"{self.find(revision)}.json").read_text())
        files = {path: File(**file) for path, file in value.pop("files").items()}
        return Commit(**value, files=files)

    def history(self, revision: str = "main") -> list[Commit]:
        """The commits that lead to a revision, oldest first; the first is the Hub's own "initial commit"."""
        commits = [self.at(revision)]
        while parent := commits[-1].parent:
            commits.append(self.at(parent))
        return commits[::-1]

    @property
    def commits(self) -> list[Commit]:
        """The history of `main`, oldest first."""
        return self.history()

    @property
    def head(self) -> Commit:
        """The last commit of `main`."""
        return self.at()

    def commit(
        self,
        ref: str,
        parent: str | None,
        changes: Mapping[str, File | None],
        message: str,
        description: str = "",
        author: str = "system",
    ) -> Commit:
        """Adds a commit behind `parent` and points `ref` at it. A change to None removes the file."""
        files: dict[str, File] = dict(self.at(parent).files) if parent else {}
        files.update({path: dataclasses.replace(file, path=path) for path, file in changes.items() if file})
        files = {path: files[path] for path in sorted(files) if changes.get(path, files[path])}
        listing = [(file.path, file.oid) for file in files.values()]
        sha = hashlib.sha1(json.dumps([parent, message, description, listing]).encode()).hexdigest()
        date = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        commit = Commit(sha, message, description, parent, author, date, files)
        _write_json(self.folder / "commits" / f"{sha}.json", dataclasses.asdict(commit))
        self.set_ref(ref, sha)
        return commit

    def last_change(self, commit: Commit, path: str) -> Commit:
        """The commit that gave a file or folder the content it has in `commit`."""
        history, wanted = self.history(commit.sha), self.listing_oid(commit, path)
        return list(takewhile(lambda past: self.listing_oid(past, path) == wanted, reversed(history)))[-1]

    @staticmethod
    def listing_oid(commit: Commit, path: str) -> str | None:
        """Git's hash of a file, a stable hash of a folder, None for what is not there."""
        if path in commit.files:
            return commit.files[path].oid
        below = [(name, file.oid) for name, file in commit.files.items() if name.startswith(path + "/")]
        return hashlib.sha1(json.dumps(below).encode()).hexdigest() if below else None

    # Contents

    def blob(self, sha256: str) -> Path:
        return self.folder / "blobs" / sha256

    def store(self, content: bytes, *, lfs: bool = False) -> File:
        """Keeps a file's bytes, and returns it without a path."""
        sha256 = hashlib.sha256(content).hexdigest()
        self.blob(sha256).write_bytes(content)
        oid = blob_oid(lfs_pointer(sha256, len(content)) if lfs else content)
        return File("", len(content), sha256, oid, lfs)

    def receive(self, body: IO[bytes], sha256: str) -> None:
        """Keeps an LFS object, whole or not at all."""
        whole, digest = self.folder / "blobs" / f"{uuid.uuid4()}.part", hashlib.sha256()
        with whole.open("wb") as file:
            while chunk := body.read(CHUNK):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != sha256:
            whole.unlink()
            raise HubError(400, "The content does not match the checksum")
        whole.replace(self.blob(sha256))

    def stored(self, sha256: str) -> File:
        """An LFS object that was uploaded before."""
        if not self.blob(sha256).is_file():
            raise HubError(400, f"The LFS object {sha256} was not uploaded")
        size = self.blob(sha256).stat().st_size
        return File("", size, sha256, blob_oid(lfs_pointer(sha256, size)), lfs=True)

    def read(self, path: str, revision: str = "main") -> bytes:
        """A file's content, for tests."""
        return self.blob(self.at(revision).files[path].sha256).read_bytes()


class Store:
    """All repositories below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _repository(self, kind: str, repo_id: str) -> Repository:
        return Repository(kind, repo_id, self.folder / f"{kind}s" / repo_id)

    def get(self, kind: str, repo_id: str) -> Repository | None:
        repository = self._repository(kind, repo_id)
        return repository if (repository.folder / "refs.json").is_file() else None

    def create(self, kind: str, repo_id: str, author: str, *, private: bool = False) -> Repository:
        repository = self._repository(kind, repo_id)
        repository.create(author, private=private)
        return repository

    def delete(self, repository: Repository) -> None:
        shutil.rmtree(repository.folder)
