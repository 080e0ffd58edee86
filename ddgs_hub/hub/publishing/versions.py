"""The versions of a published dataset or model, as a list."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from huggingface_hub import HfApi

from ddgs_hub.core.hub_client import make_client, persist
from ddgs_hub.core.revisions import named_revision
from ddgs_hub.hub.provenance import Content
from ddgs_hub.hub.publishing.remote import Remote, Version, find_remote, find_version

MOST_VERSIONS = 100  # that are listed: each takes three requests

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PublishedVersion:
    """One version; values that its provenance lacks are None.

    Attributes:
        tag: `vMAJOR.MINOR.PATCH`.
        commit: that the tag points to.
        date: of that commit.
        rows: number of rows.
        mean_difficulty: of the rows, 0 … 1.
        changes: what differs from the version before, in words.
    """

    tag: str
    commit: str
    date: datetime
    rows: int | None
    mean_difficulty: float | None
    changes: str | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "date": self.date.isoformat()}


def list_versions(repo_id: str, *, token: str | None = None, api: HfApi | None = None) -> list[PublishedVersion]:
    """The newest versions of a dataset or else a model on the Hub, oldest first; empty where it has none.

    Args:
        repo_id: `owner/name`; of `owner/name@v1.0.0` that version alone.
        token: instead of that of the environment or the login.
        api: a client to use instead of a new one.

    Raises:
        InputError: there is no such repository or version, the Hub refuses, or it does not answer.
    """
    repo_id, only = named_revision(repo_id)
    remote = find_remote(make_client(api, token), repo_id)

    def read() -> list[PublishedVersion]:
        tags = remote.versions()
        versions = [find_version(tags, only, repo_id)] if only else list(tags)
        if len(versions) > MOST_VERSIONS:
            message = "%s has %d versions, of which the newest %d are listed"
            LOG.warning(message, repo_id, len(versions), MOST_VERSIONS)
        commits = remote.api.list_repo_commits(repo_id, repo_type=remote.repo_type)
        dates = {commit.commit_id: commit.created_at for commit in commits}
        return [_describe(remote, version, dates) for version in versions[-MOST_VERSIONS:]]

    return persist(repo_id, read, repo_type=remote.repo_type)


def versions_table(versions: list[PublishedVersion]) -> str:
    """The versions as lines of text; the columns on rows are left out where no version has rows, as of a model."""
    with_rows = any(version.rows is not None for version in versions)
    lines = [f"{'version':<10}{'date':<12}{'    rows  mean difficulty  ' if with_rows else ''}changes"]
    for version in versions:
        rows = "—" if version.rows is None else f"{version.rows:,}"
        mean = "—" if version.mean_difficulty is None else f"{version.mean_difficulty:.3f}"
        columns = f"{rows:>8}  {mean:>15}  " if with_rows else ""
        lines.append(f"{version.tag:<10}{version.date:%Y-%m-%d}  {columns}{version.changes or '—'}")
    return "\n".join(lines)


def _describe(remote: Remote, version: Version, dates: Mapping[str, datetime]) -> PublishedVersion:
    snapshot = remote.snapshot_of(str(version))
    date = dates.get(snapshot.commit)
    if date is None:  # a commit that is not on main
        history = remote.api.list_repo_commits(remote.repo_id, repo_type=remote.repo_type, revision=snapshot.commit)
        date = history[0].created_at
    content = snapshot.provenance.content or Content()
    return PublishedVersion(
        tag=str(version),
        commit=snapshot.commit,
        date=date,
        rows=content.num_rows,
        mean_difficulty=content.mean_difficulty,
        changes=snapshot.provenance.published.changes,
    )
