"""The versions of a published dataset, and what differs between two of them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any

from huggingface_hub import HfApi

from ddgs_hub.errors import InputError
from ddgs_hub.hub.content import CONTENT
from ddgs_hub.hub.patience import make_client, persist
from ddgs_hub.hub.remote import Remote, Version
from ddgs_hub.hub.row_lists import BINS, NUMBER, RowList, changed_difficulties, common_key

SHOWN = 20  # rows that the text of a difference lists


@dataclass(frozen=True, kw_only=True)
class PublishedVersion:
    """One version; what its provenance does not tell is None.

    Attributes:
        tag: `vMAJOR.MINOR.PATCH`.
        commit: what it points to.
        date: of that commit.
        rows: how many.
        mean_difficulty: of the rows, 0 … 1.
        changes: in words what differs from the version before.
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


@dataclass(frozen=True, kw_only=True)
class VersionDiff:
    """What differs between two versions.

    Attributes:
        a: the first version.
        b: the second.
        added: rows of `b` whose image is not in `a`: `image_sha256`, or `source_index` where a version has no images,
            `label` (name of the class), `difficulty`.
        removed: rows of `a` whose image is not in `b`.
        common: how many rows are in both.
        changed: of these, how many `rows` have another difficulty, the `mean` and the `largest` of the changes.
        difficulty: "a" and "b" → `mean`, `std` and `histogram` (counts in ten bins, easy to hard).
        recipe: key → its values in `a` and in `b`, where they differ; of a scored original of its source and scorer.
    """

    a: str
    b: str
    added: list[dict[str, Any]]
    removed: list[dict[str, Any]]
    common: int
    changed: dict[str, Any]
    difficulty: dict[str, dict[str, Any]]
    recipe: dict[str, list[Any]]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @property
    def text(self) -> str:
        """For people."""
        lines = [f"{self.a} → {self.b}: {len(self.added)} rows added, {len(self.removed)} gone, {self.common} in both"]
        for sign, rows in (("+", self.added), ("-", self.removed)):
            lines += [f"  {sign} {_name(row)}  {row['label']}{_number(row)}" for row in rows[:SHOWN]]
            if len(rows) > SHOWN:
                lines.append(f"  {sign} … {len(rows) - SHOWN} more: see --json")
        if self.changed["rows"]:
            mean, largest = (f"{self.changed[name]:+.3f}" for name in ("mean", "largest"))
            lines.append(f"  {self.changed['rows']} rows have another difficulty: {mean} on average, {largest} at most")
        sides = [self.difficulty[side] for side in ("a", "b")]
        lines += ["", f"{'difficulty':<12}{self.a:>10}{self.b:>10}"]
        for k in range(BINS):
            counts = "".join(f"{side['histogram'][k]:>10}" for side in sides)
            lines.append(f"{k / BINS:.1f} … {(k + 1) / BINS:.1f}   {counts}")
        for name in ("mean", "std"):
            values = (side[name] for side in sides)
            lines.append(f"{name:<12}" + "".join(f"{'—':>10}" if v is None else f"{v:>10.3f}" for v in values))
        lines += ["", "recipe: the same" if not self.recipe else "recipe:"]
        lines += [f"  {key}: {old} → {new}" for key, (old, new) in self.recipe.items()]
        return "\n".join(lines)


def list_versions(repo_id: str, *, token: str | None = None, api: HfApi | None = None) -> list[PublishedVersion]:
    """The versions of a dataset on the Hub, oldest first; empty where it has none.

    Raises:
        InputError: there is no such dataset, the Hub refuses, or it does not answer.
    """
    remote = Remote(make_client(api, token), repo_id)

    def read() -> list[PublishedVersion]:
        tags = remote.versions()
        dates = {c.commit_id: c.created_at for c in remote.api.list_repo_commits(repo_id, repo_type="dataset")}
        return [_describe(remote, version, dates) for version in tags]

    return persist(repo_id, read)


def versions_table(versions: list[PublishedVersion]) -> str:
    """The versions as lines of text."""
    lines = [f"{'version':<10}{'date':<12}{'rows':>8}  {'mean difficulty':>15}  changes"]
    for version in versions:
        rows = "—" if version.rows is None else f"{version.rows:,}"
        mean = "—" if version.mean_difficulty is None else f"{version.mean_difficulty:.3f}"
        lines.append(f"{version.tag:<10}{version.date:%Y-%m-%d}  {rows:>8}  {mean:>15}  {version.changes or '—'}")
    return "\n".join(lines)


def diff_versions(repo_id: str, a: str, b: str, *, token: str | None = None, api: HfApi | None = None) -> VersionDiff:
    """Rows, difficulties and recipe keys in which version `b` of a dataset differs from version `a`.

    Raises:
        InputError: there is no such dataset or version, the Hub refuses, or it does not answer.
    """
    remote = Remote(make_client(api, token), repo_id)
    tags = persist(repo_id, remote.versions)
    for name in (a, b):
        if Version.parse(name) not in tags:
            known = ", ".join(map(str, tags)) or "none"
            raise InputError(f"{repo_id} has no version '{name}': its versions are {known}")
    first, second = (persist(repo_id, partial(remote.snapshot, name)) for name in (a, b))
    rows = {side: RowList.read(remote, snapshot) for side, snapshot in (("a", first), ("b", second))}
    key = common_key(rows["a"], rows["b"])
    counts = {side: Counter(part.columns[key]) for side, part in rows.items()}
    return VersionDiff(
        a=a,
        b=b,
        added=rows["b"].listed(counts["b"] - counts["a"], key),
        removed=rows["a"].listed(counts["a"] - counts["b"], key),
        common=(counts["a"] & counts["b"]).total(),
        changed=changed_difficulties(rows["a"], rows["b"], key),
        difficulty={side: part.distribution() for side, part in rows.items()},
        recipe=changed_keys(_made_by(first.provenance), _made_by(second.provenance)),
    )


def changed_keys(a: Any, b: Any, prefix: str = "") -> dict[str, list[Any]]:
    """Dotted key → both values, of all places where two nested dictionaries differ; None stands for a missing key."""
    if not (isinstance(a, Mapping) and isinstance(b, Mapping)):
        return {} if a == b else {prefix.rstrip(".") or "recipe": [a, b]}
    changed: dict[str, list[Any]] = {}
    for key in sorted({*a, *b}):
        changed |= changed_keys(a.get(key), b.get(key), f"{prefix}{key}.")
    return changed


def _describe(remote: Remote, version: Version, dates: Mapping[str, datetime]) -> PublishedVersion:
    snapshot = remote.snapshot(str(version))
    if snapshot is None:
        raise InputError(f"{remote.repo_id} was removed meanwhile: check the name")
    date = dates.get(snapshot.commit)
    if date is None:  # a commit that main does not lead to
        history = remote.api.list_repo_commits(remote.repo_id, repo_type="dataset", revision=snapshot.commit)
        date = history[0].created_at
    content = snapshot.provenance.get(CONTENT)
    content = content if isinstance(content, dict) else {}
    return PublishedVersion(
        tag=str(version),
        commit=snapshot.commit,
        date=date,
        rows=content.get("num_rows"),
        mean_difficulty=content.get("mean_difficulty"),
        changes=snapshot.published.get("changes"),
    )


def _made_by(provenance: Mapping[str, Any]) -> Any:
    """The recipe, or what a scored original has in its place."""
    scored = {key: provenance[key] for key in ("source", "scorer") if key in provenance}
    return provenance.get("recipe", scored or None)


def _name(row: Mapping[str, Any]) -> str:
    return f"row {row[NUMBER]}" if NUMBER in row else str(row["image_sha256"][:12])


def _number(row: Mapping[str, Any]) -> str:
    return "" if row["difficulty"] is None else f"  {row['difficulty']:.3f}"
