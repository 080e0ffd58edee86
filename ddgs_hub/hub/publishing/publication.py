"""Results of publishing and of comparing versions, as text and as JSON."""

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Result:
    """What the commands print: each kind has a `text` for people."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Publication(Result):
    """The result of publishing.

    Attributes:
        repo_id: the repository.
        version: the version with this content; for a dry run, the one that it would get.
        commit: its commit; None where there is none yet.
        url: the page of the version, or of the pull request; empty where there is none yet.
        action: "published", "proposed" (as a pull request), "unchanged" (the Hub had this content) or "planned" (a dry
            run).
        changes: what differs from the version before, in words.
        added: files of the repository that are new or have other content.
        removed: files of an earlier version that go.
        kept: files that stay as they are: foreign ones, and those of a pool that is not sent again.
        card: the text of README.md.
        collection: the page of the collection that it was put into; empty: into none.
    """

    repo_id: str
    version: str
    commit: str | None
    url: str
    action: Literal["published", "proposed", "unchanged", "planned"]
    changes: str
    added: list[str]
    removed: list[str]
    kept: list[str]
    card: str
    collection: str = ""

    @property
    def text(self) -> str:
        """For people."""
        name = f"{self.repo_id} {self.version}"
        among = f"\nin the collection {self.collection}" if self.collection else ""
        if self.action == "unchanged":
            return f"nothing to publish: {name} has this content ({self.url}){among}"
        if self.action == "published":
            return f"{name}: {self.changes}\n{self.url}{among}"
        if self.action == "proposed":
            return (
                f"{name} is proposed: {self.changes}\n{self.url}\nonce it is merged, publish again: that sets the tag"
            )
        parts = (("+", self.added), ("-", self.removed), ("=", self.kept))
        files = "\n".join(f"  {sign} {file}" for sign, part in parts for file in part)
        return f"{name} would be published: {self.changes}\n{files}\n\n{self.card}"


@dataclass(frozen=True, kw_only=True)
class SpacePage(Result):
    """The Space of a published dataset.

    Attributes:
        url: its page.
        action: "published", "unchanged" (it had these files) or "planned" (a dry run).
        files: what it holds.
        private: whether it is private, as a private dataset's must be.
    """

    url: str
    action: Literal["published", "unchanged", "planned"]
    files: list[str]
    private: bool

    @property
    def text(self) -> str:
        """For people."""
        words = {"published": "its page", "unchanged": "its page, as it was", "planned": "its page would be"}
        line = f"{words[self.action]}: {self.url}"
        return f"{line}\ngive that Space a secret HF_TOKEN that may read the private dataset" if self.private else line
