"""Publishes a dataset or a model: one commit, then one tag, each exactly once, even after interruptions."""

from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.hub_client import make_client, page_of, persist, used_token
from ddgs_hub.core.revisions import named_revision
from ddgs_hub.core.staging import is_writable, locked_folder, refuse_unwritable
from ddgs_hub.hub.folders.pool import add_pool, ipc_of
from ddgs_hub.hub.layout import CARD, PROVENANCE, RUN_REPOSITORIES
from ddgs_hub.hub.publishing.access import check_name, check_privacy, require_token
from ddgs_hub.hub.publishing.collections import check_collection, put_into_collection
from ddgs_hub.hub.publishing.package import Package
from ddgs_hub.hub.publishing.publication import Publication
from ddgs_hub.hub.publishing.remote import Remote, Snapshot, Version


def publish(
    folder: str | Path,
    repo_id: str,
    *,
    pool: bool = False,
    ipc: int | None = None,
    version: str | None = None,
    private: bool = False,
    adapter: bool = False,
    create_pr: bool = False,
    dry_run: bool = False,
    collection: str | None = None,
    token: str | None = None,
    api: HfApi | None = None,
) -> Publication:
    """Publishes a folder of one of `KINDS` as the next version of a repository on the Hub.

    The version follows from the content hashes: MAJOR changes with what the content was made of (of a distilled set
    pool, DiT or scorer; of a model its weights), MINOR where other rows of the same pool were selected, PATCH with
    everything else. Content that the newest version has is not published again. After an interruption at any point, the
    same call goes on there.

    The hand-written parts of the card that is on the Hub are kept, see `merge_cards`. So are files that no version
    brought, and a published pool, as long as the rows are selected from it; with rows of another pool it is removed.

    Args:
        folder: a run folder, whose distilled set is meant, or the folder of a distilled set, a scored original, a DiT
            or a scorer.
        repo_id: `owner/name`; the repository is made if it does not exist. `owner/name@v2.0.0` gives the version, too.
        pool: put the pool of the run, or that was sampled from, into the folder first, see `add_pool`.
        ipc: which set of a run, or of a folder that `sample` wrote, where it has several.
        version: instead of the one that follows; it must be above all that exist.
        private: a new repository is made private; one that exists must be.
        adapter: of a DiT the adapter alone, without the pipeline: it needs its base, and is small.
        create_pr: propose it as a pull request, without a tag; needs no right to write there.
        dry_run: only read, and say what would be done.
        collection: afterwards put it into this one, see `put_into_collection`.
        token: instead of that of the environment or the login.
        api: a client to use instead of a new one.

    Raises:
        InputError: the folder cannot be published, another command works there, the Hub refuses or does not answer, or
            `version` cannot be given.
    """
    repo_id, wanted = _target(repo_id, version)
    api = make_client(api, token)
    repository = find_folder(Path(folder), repo_id, ipc)
    # A folder that is not writable needs no lock: no other command can write there either.
    with locked_folder(repository) if repository.is_dir() and is_writable(repository) else nullcontext():
        package = _read_package(repository, repo_id, pool=pool, adapter=adapter, dry_run=dry_run, token=used_token(api))
        require_token(api)
        if collection is not None:
            check_collection(api, collection, create_pr=create_pr)
        publisher, repo_type = _Publisher(api, package, wanted, private, create_pr), package.kind.repo_type
        made = persist(repo_id, publisher.plan if dry_run else publisher.advance, repo_type=repo_type)
    if collection is None or dry_run:
        return made
    return put_into_collection(api, made, repo_type, collection, private=private)


def _target(repo_id: str, version: str | None) -> tuple[str, Version | None]:
    """The repository and the version that are asked for, in either way."""
    repo_id, version = named_revision(repo_id, version)
    check_name(repo_id)
    wanted = Version.parse(version)
    if version is not None and wanted is None:
        raise InputError(f"'{version}' is no version: give one such as v1.2.0")
    return repo_id, wanted


def find_folder(folder: Path, repo_id: str, ipc: int | None = None) -> Path:
    """The folder to publish: `folder` itself, or one in the `hub/` of a run folder or of what `sample` wrote.

    Args:
        folder: what was given.
        repo_id: where it is to go: of several, that of this name is meant.
        ipc: of several, that with so many images per class is meant.

    Raises:
        InputError: there is none, there are several and nothing says which, or the rows of one cannot be read.
    """
    if (folder / CARD).is_file():
        if ipc is not None:
            raise InputError(f"{folder} is one set, not several: leave out --ipc")
        return folder
    patterns = (f"{RUN_REPOSITORIES}/*", f"ipc*/{RUN_REPOSITORIES}/*")  # the latter of `sample --ipc 10,20`
    found = (path for pattern in patterns for path in folder.glob(pattern) if path.is_dir())
    sets = sorted(path for path in found if not path.name.startswith("."))  # a kill leaves hidden ones
    if not sets and ipc is None and not (folder / RUN_REPOSITORIES).is_dir():
        return folder
    of_ipc = [path for path in sets if ipc is None or ipc_of(path) == ipc]
    named = [path for path in of_ipc if path.name == repo_id.split("/")[-1]]
    if named or len(of_ipc) == 1:
        return (named or of_ipc)[0]
    listed = ", ".join(str(path) for path in sets) or "none"
    if ipc is None:
        raise InputError(f"{folder} has not one folder to publish ({listed}): give the one that is meant, or --ipc")
    raise InputError(f"{folder} has not one folder to publish with --ipc {ipc} ({listed}): give the one that is meant")


def _read_package(
    repository: Path, repo_id: str, *, pool: bool, adapter: bool, dry_run: bool, token: str | None
) -> Package:
    if pool and dry_run:  # which changes nothing in the folder either; later it needs only the hashes of the files
        refuse_unwritable(repository)
        with TemporaryDirectory(dir=repository.resolve().parent, prefix=".") as folder:
            return Package.read(add_pool(repository, Path(folder) / repository.name), repo_id, token=token)
    return Package.read(add_pool(repository) if pool else repository, repo_id, adapter=adapter, token=token)


class _Publisher:
    """The steps of one publication; `advance` does the next one that the state of the repository asks for."""

    def __init__(self, api: HfApi, package: Package, wanted: Version | None, private: bool, create_pr: bool) -> None:
        self.api, self.package, self.wanted, self.private, self.create_pr = api, package, wanted, private, create_pr
        self.repo_id, self.repo_type = package.repo_id, package.kind.repo_type
        self.remote = Remote(api, self.repo_id, self.repo_type)
        self.written = False  # whether this call changed anything on the Hub
        self.below: Version | None = None  # the newest version when this call first committed
        self.committed = False
        self.changes = ""  # in the words of the commit

    def advance(self) -> Publication | None:
        """Reads the state and takes one step; None means: call again."""
        head = self.remote.snapshot()
        if head is None:
            self.api.create_repo(self.repo_id, repo_type=self.repo_type, private=self.private, exist_ok=True)
            return None
        check_privacy(self.repo_id, wanted=self.private, private=head.private)
        tags = self.remote.versions()
        if head.version and head.version not in tags and not self.create_pr:
            # A commit without its tag, by this call or by one that was cut off. The tag is set before anything else.
            self.written = True
            commit = self.remote.publishing_commit(head)
            self.api.create_tag(self.repo_id, tag=str(head.version), revision=commit, repo_type=self.repo_type)
            return None
        newest = self._newest(head, tags)
        if newest and not self.package.changed(newest[1]):
            return self._has_content(*newest)
        if overtaken := self._overtaken(tags):
            return overtaken
        if self.create_pr and (proposed := self._proposed()):
            return proposed
        version, self.changes = self._next(newest)
        # Set before the commit: its answer may get lost although it was made.
        self.below = self.below if self.committed else newest and newest[0]
        self.written = self.committed = True
        self.api.create_commit(
            self.repo_id,
            self._operations(head, version),
            commit_message=f"{version}: {self.changes}",
            repo_type=self.repo_type,
            parent_commit=head.commit,
            create_pr=self.create_pr,
        )
        return None

    def plan(self) -> Publication:
        """What `advance` would do; only reads."""
        head = self.remote.snapshot()
        newest = None
        if head is not None:
            check_privacy(self.repo_id, wanted=self.private, private=head.private)
            tags = self.remote.versions()
            newest = self._newest(head, tags)
            if newest and not self.package.changed(newest[1]):
                if newest[0] in tags or self.create_pr:
                    return self._has_content(*newest)
                return self._publication(head, newest[0], action="planned", changes="only its tag is missing")
        version, changes = self._next(newest)
        state = head or Snapshot("", self.private, {})
        return self._publication(state, version, action="planned", changes=changes)

    def _newest(self, head: Snapshot, tags: dict[Version, str]) -> tuple[Version, Snapshot] | None:
        """The newest version, with or without its tag."""
        if head.version and head.version >= max(tags, default=head.version) and head.version not in tags:
            return head.version, head
        if not tags:
            return None
        version = max(tags)
        snapshot = self.remote.snapshot(str(version))
        return (version, snapshot) if snapshot else None

    def _overtaken(self, tags: dict[Version, str]) -> Publication | None:
        """The version that this call made, if others have published a newer one since."""
        for version in tags if self.committed else ():
            if self.below is None or version > self.below:
                snapshot = self.remote.snapshot(str(version))
                if snapshot and not self.package.changed(snapshot):
                    return self._has_content(version, snapshot)
        return None

    def _next(self, newest: tuple[Version, Snapshot] | None) -> tuple[Version, str]:
        version, changes = self.package.next_version(newest)
        if self.wanted is None:
            return version, changes
        if newest and self.wanted <= newest[0]:
            raise InputError(f"version {self.wanted} is not above {newest[0]}, which is there: give a higher one")
        return self.wanted, changes

    def _operations(self, head: Snapshot, version: Version) -> list[CommitOperationAdd | CommitOperationDelete]:
        package = self.package
        texts = {CARD: package.card_for(head, version), PROVENANCE: package.provenance_for(head, version, self.changes)}
        return [
            *(CommitOperationAdd(path, text.encode()) for path, text in texts.items()),
            *(self._add(path, file) for path, file in package.files.items()),
            *(CommitOperationDelete(path, is_folder=False) for path in package.stale(head)),
        ]

    def _add(self, path: str, file: Path) -> CommitOperationAdd:
        """Sends a file whose bytes are those that the gate has seen, see `check_files`."""
        operation = CommitOperationAdd(path, str(file))
        if operation.upload_info.sha256.hex() != self.package.hashes[path].sha256:
            raise InputError(f"{file} was changed while it was being published: start the same command again")
        return operation

    def _has_content(self, version: Version, snapshot: Snapshot, page: str | None = None) -> Publication:
        """What came of publishing, where a commit has this content; `page` is that of a pull request."""
        done: Literal["published", "proposed"] = "proposed" if page else "published"
        changes = snapshot.provenance.published.changes or ""
        return self._publication(
            snapshot, version, action=done if self.written else "unchanged", changes=changes, page=page
        )

    def _proposed(self) -> Publication | None:
        """The pull request that has this content."""
        for reference in self.remote.pull_requests():
            snapshot = self.remote.snapshot(reference)
            if snapshot and snapshot.version and not self.package.changed(snapshot):
                number = reference.rsplit("/", 1)[1]
                return self._has_content(snapshot.version, snapshot, page=f"discussions/{number}")
        return None

    def _publication(
        self,
        state: Snapshot,
        version: Version,
        *,
        action: Literal["published", "proposed", "unchanged", "planned"],
        changes: str,
        page: str | None = None,
    ) -> Publication:
        package = self.package
        ours = {*package.files, CARD, PROVENANCE}
        removed = package.stale(state)
        page = page or ("" if action == "planned" else f"tree/{version}")
        return Publication(
            repo_id=self.repo_id,
            version=str(version),
            commit=None if action == "planned" else state.commit,
            url=f"{page_of(self.repo_id, self.repo_type, self.api.endpoint)}/{page}" if page else "",
            action=action,
            changes=changes,
            added=[path for path in package.changed(state) if path not in removed],
            removed=removed,
            kept=sorted(set(state.hashes) - ours - set(removed)),
            card=package.card_for(state, version),
        )
