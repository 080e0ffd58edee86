"""The versions of a published dataset or model, and what differs between two of them."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import numpy as np
from datasets import Dataset
from huggingface_hub import HfApi

from ddgs_hub.errors import InputError
from ddgs_hub.hub.access import check_name
from ddgs_hub.hub.content import CONTENT
from ddgs_hub.hub.patience import make_client, persist
from ddgs_hub.hub.remote import ROWS, Remote, Snapshot, Version
from ddgs_hub.recipe import changed_keys
from ddgs_hub.rows import class_names, read_rows, undecoded

BINS = 10  # of the difficulty, over 0 … 1
SHOWN = 10  # rows that the text of a difference lists


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
        added: rows of `b` whose image is not in `a`: `image_sha256`, `label` (name of the class), `difficulty`.
        removed: rows of `a` whose image is not in `b`.
        common: how many rows are in both.
        difficulty: "a" and "b" → `mean`, `std` and `histogram` (counts in ten bins, easy to hard).
        recipe: key → its values in `a` and in `b`, where they differ.
    """

    a: str
    b: str
    added: list[dict[str, Any]]
    removed: list[dict[str, Any]]
    common: int
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
            lines += [f"  {sign} {row['image_sha256'][:12]}  {row['label']}{_number(row)}" for row in rows[:SHOWN]]
            if len(rows) > SHOWN:
                lines.append(f"  {sign} … {len(rows) - SHOWN} more: see --json")
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
    """The versions of a dataset or else a model on the Hub, oldest first; empty where it has none.

    Raises:
        InputError: there is no such repository, the Hub refuses, or it does not answer.
    """
    remote = _find(make_client(api, token), repo_id)

    def read() -> list[PublishedVersion]:
        tags = remote.versions()
        commits = remote.api.list_repo_commits(repo_id, repo_type=remote.repo_type)
        dates = {commit.commit_id: commit.created_at for commit in commits}
        return [_describe(remote, version, dates) for version in tags]

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
    found = (persist(repo_id, partial(remote.snapshot, name), repo_type=remote.repo_type) for name in (a, b))
    first, second = found
    recipe = changed_keys(_settings(first.provenance), _settings(second.provenance))
    if remote.repo_type == "model":
        weights = [_content(snapshot).get("weights", snapshot.commit) for snapshot in (first, second)]
        return ModelDiff(a=a, b=b, same_weights=weights[0] == weights[1], recipe=recipe)
    rows = {side: _rows(remote, snapshot) for side, snapshot in (("a", first), ("b", second))}
    counts = {side: Counter(_image_hashes(part)) for side, part in rows.items()}
    return VersionDiff(
        a=a,
        b=b,
        added=_listed(rows["b"], counts["b"] - counts["a"]),
        removed=_listed(rows["a"], counts["a"] - counts["b"]),
        common=(counts["a"] & counts["b"]).total(),
        difficulty={side: _distribution(part) for side, part in rows.items()},
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


def _content(snapshot: Snapshot) -> dict[str, Any]:
    """The hashes and numbers that `provenance.json` tells of; empty where it has none."""
    content = snapshot.provenance.get(CONTENT)
    return content if isinstance(content, dict) else {}


def _recipe_lines(recipe: Mapping[str, list[Any]]) -> list[str]:
    changed = [f"  {key}: {old} → {new}" for key, (old, new) in recipe.items()]
    return ["recipe:", *changed] if changed else ["recipe: the same"]


def _settings(provenance: Mapping[str, Any]) -> Any:
    """The recipe, and `sampled.seed`, the seed of the draw: of a set that was sampled from a published pool its own."""
    recipe, sampled = provenance.get("recipe"), provenance.get("sampled")
    if not isinstance(recipe, dict) or "sample" not in recipe:
        return recipe
    drawn = sampled if isinstance(sampled, dict) else recipe
    return {**recipe, "sampled": {"seed": drawn.get("seed")}}


def _describe(remote: Remote, version: Version, dates: Mapping[str, datetime]) -> PublishedVersion:
    snapshot = remote.snapshot(str(version))
    if snapshot is None:
        raise InputError(f"{remote.repo_id} was removed meanwhile: check the name")
    date = dates.get(snapshot.commit)
    if date is None:  # a commit that main does not lead to
        history = remote.api.list_repo_commits(remote.repo_id, repo_type=remote.repo_type, revision=snapshot.commit)
        date = history[0].created_at
    content = _content(snapshot)
    return PublishedVersion(
        tag=str(version),
        commit=snapshot.commit,
        date=date,
        rows=content.get("num_rows"),
        mean_difficulty=content.get("mean_difficulty"),
        changes=snapshot.published.get("changes"),
    )


def _rows(remote: Remote, snapshot: Snapshot) -> Dataset:
    """The rows of a version, from the cache of huggingface_hub."""
    paths = [path for path in snapshot.hashes if fnmatchcase(path, ROWS)]
    if not paths:
        raise InputError(
            f"a version of {remote.repo_id} at {snapshot.commit[:8]} has no {ROWS}: it is no distilled set"
        )
    files = [persist(remote.repo_id, partial(remote.download, path, snapshot.commit)) for path in paths]
    return read_rows(files[0].parents[1])


def _image_hashes(rows: Dataset) -> list[str]:
    plain = undecoded(rows.select_columns(["image"]))
    return [hashlib.sha256(row["image"]["bytes"]).hexdigest() for row in plain]


def _listed(rows: Dataset, wanted: Counter[str]) -> list[dict[str, Any]]:
    """The rows with these images, as often as is wanted."""
    names, left, listed = class_names(rows), Counter(wanted), []
    difficulties = rows["difficulty"] if "difficulty" in rows.column_names else [None] * len(rows)
    for digest, label, difficulty in zip(_image_hashes(rows), rows["label"], difficulties, strict=True):
        if left[digest] > 0:
            left[digest] -= 1
            listed.append({"image_sha256": digest, "label": names[label], "difficulty": difficulty})
    return listed


def _distribution(rows: Dataset) -> dict[str, Any]:
    """Mean, standard deviation and histogram of the difficulties; of rows without them None and zeros."""
    if "difficulty" not in rows.column_names or not len(rows):
        return {"mean": None, "std": None, "histogram": [0] * BINS}
    difficulty = np.asarray(rows["difficulty"], dtype=np.float32)
    edges = np.linspace(0, 1, BINS + 1, dtype=np.float32)  # of the same type, so that 0.7 is in bin 7
    histogram, _ = np.histogram(difficulty, edges)
    return {
        "mean": float(difficulty.mean(dtype=float)),
        "std": float(difficulty.std(dtype=float)),
        "histogram": histogram.tolist(),
    }


def _number(row: Mapping[str, Any]) -> str:
    return "" if row["difficulty"] is None else f"  {row['difficulty']:.3f}"
