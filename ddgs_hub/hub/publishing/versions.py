"""The versions of a published dataset or model, and what differs between two of them."""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import RevisionNotFoundError

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.hub_client import make_client, persist
from ddgs_hub.core.text import MOST_OF_A_NAME, one_line
from ddgs_hub.hub.provenance import Content, Provenance
from ddgs_hub.hub.publishing.access import check_name
from ddgs_hub.hub.publishing.differences import BINS, NUMBER, RowList, changed_difficulties, common_key
from ddgs_hub.hub.publishing.remote import Remote, Snapshot, Version
from ddgs_hub.recipe import changed_keys

SHOWN = 10  # rows that the text of a difference lists
MOST_VERSIONS = 100  # that are listed: each takes three requests
MOST_KEYS = 100  # of a recipe, that the text of a difference lists

LOG = logging.getLogger(__name__)


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
            lines += [
                f"  {sign} {_name(row)}  {one_line(row['label'], MOST_OF_A_NAME)}{_number(row)}" for row in rows[:SHOWN]
            ]
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
        return "\n".join([*lines, "", *_recipe_lines(self.recipe)])


@dataclass(frozen=True, kw_only=True)
class ModelDiff:
    """What differs between two versions of a model.

    Attributes:
        a: the first version.
        b: the second.
        same_weights: whether their weights are the same.
        recipe: key → its values in `a` and in `b`, where they differ.
    """

    a: str
    b: str
    same_weights: bool
    recipe: dict[str, list[Any]]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @property
    def text(self) -> str:
        """For people."""
        weights = "the same weights" if self.same_weights else "other weights"
        return "\n".join([f"{self.a} → {self.b}: {weights}", "", *_recipe_lines(self.recipe)])


def list_versions(repo_id: str, *, token: str | None = None, api: HfApi | None = None) -> list[PublishedVersion]:
    """The newest versions of a dataset or else a model on the Hub, oldest first; empty where it has none.

    Raises:
        InputError: there is no such repository, the Hub refuses, or it does not answer.
    """
    remote = _find(make_client(api, token), repo_id)

    def read() -> list[PublishedVersion]:
        tags = list(remote.versions())
        if len(tags) > MOST_VERSIONS:
            LOG.warning("%s has %d versions, of which the newest %d are listed", repo_id, len(tags), MOST_VERSIONS)
        commits = remote.api.list_repo_commits(repo_id, repo_type=remote.repo_type)
        dates = {commit.commit_id: commit.created_at for commit in commits}
        return [_describe(remote, version, dates) for version in tags[-MOST_VERSIONS:]]

    return persist(repo_id, read, repo_type=remote.repo_type)


def versions_table(versions: list[PublishedVersion]) -> str:
    """The versions as lines of text; those of a model have no rows."""
    with_rows = any(version.rows is not None for version in versions)
    lines = [f"{'version':<10}{'date':<12}{'    rows  mean difficulty  ' if with_rows else ''}changes"]
    for version in versions:
        rows = "—" if version.rows is None else f"{version.rows:,}"
        mean = "—" if version.mean_difficulty is None else f"{version.mean_difficulty:.3f}"
        columns = f"{rows:>8}  {mean:>15}  " if with_rows else ""
        lines.append(f"{version.tag:<10}{version.date:%Y-%m-%d}  {columns}{version.changes or '—'}")
    return "\n".join(lines)


def diff_versions(
    repo_id: str, a: str, b: str, *, token: str | None = None, api: HfApi | None = None
) -> VersionDiff | ModelDiff:
    """Rows, difficulties and recipe keys in which version `b` of a dataset differs from version `a`.

    Of a model: recipe keys, and whether the weights are others.

    Raises:
        InputError: there is no such repository or version, the Hub refuses, or it does not answer.
    """
    remote = _find(make_client(api, token), repo_id)
    tags = persist(repo_id, remote.versions, repo_type=remote.repo_type)
    for name in (a, b):
        if Version.parse(name) not in tags:
            known = ", ".join(map(str, tags)) or "none"
            raise InputError(f"{repo_id} has no version '{name}': its versions are {known}")
    first, second = (persist(repo_id, partial(_read, remote, name), repo_type=remote.repo_type) for name in (a, b))
    recipe = changed_keys(_settings(first.provenance), _settings(second.provenance))
    if remote.repo_type == "model":
        weights = [_content(snapshot).weights or snapshot.commit for snapshot in (first, second)]
        return ModelDiff(a=a, b=b, same_weights=weights[0] == weights[1], recipe=recipe)
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
        recipe=recipe,
    )


def _find(api: HfApi, repo_id: str) -> Remote:
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


def _content(snapshot: Snapshot) -> Content:
    """The hashes and numbers that `provenance.json` tells of."""
    return snapshot.provenance.content or Content()


def _recipe_lines(recipe: Mapping[str, list[Any]]) -> list[str]:
    changed = [f"{one_line(key)}: {one_line(old)} → {one_line(new)}" for key, (old, new) in recipe.items()]
    if len(changed) > MOST_KEYS:
        changed[MOST_KEYS:] = [f"… {len(changed) - MOST_KEYS} more: see --json"]
    return ["recipe:", *(f"  {line}" for line in changed)] if changed else ["recipe: the same"]


def _settings(provenance: Provenance) -> Any:
    """What made a version: the recipe, or of a scored original its source and scorer.

    `sampled.seed` is the seed of the draw: of a set that was sampled from a published pool its own.
    """
    recipe = provenance.recipe
    if recipe is None:
        source = asdict(provenance.source) if provenance.source else None
        told = {"source": source, "scorer": provenance.scorer}
        return {key: value for key, value in told.items() if value is not None} or None
    drawn = provenance.sampled or recipe
    return {**recipe, "sampled": {"seed": drawn.get("seed")}} if "sample" in recipe else recipe


def _read(remote: Remote, version: str) -> Snapshot:
    try:
        snapshot = remote.snapshot(version)
    except RevisionNotFoundError as error:
        raise InputError(f"the tag {version} of {remote.repo_id} points to no commit: remove it there") from error
    if snapshot is None:
        raise InputError(f"{remote.repo_id} was removed meanwhile: check the name")
    return snapshot


def _describe(remote: Remote, version: Version, dates: Mapping[str, datetime]) -> PublishedVersion:
    snapshot = _read(remote, str(version))
    date = dates.get(snapshot.commit)
    if date is None:  # a commit that main does not lead to
        history = remote.api.list_repo_commits(remote.repo_id, repo_type=remote.repo_type, revision=snapshot.commit)
        date = history[0].created_at
    content = _content(snapshot)
    return PublishedVersion(
        tag=str(version),
        commit=snapshot.commit,
        date=date,
        rows=content.num_rows,
        mean_difficulty=content.mean_difficulty,
        changes=snapshot.provenance.published.changes,
    )


def _name(row: Mapping[str, Any]) -> str:
    return f"row {row[NUMBER]}" if NUMBER in row else str(row["image_sha256"][:12])


def _number(row: Mapping[str, Any]) -> str:
    return "" if row["difficulty"] is None else f"  {row['difficulty']:.3f}"
