"""What differs between two versions of a published dataset or model."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from huggingface_hub import HfApi

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.histogram import BINS
from ddgs_hub.core.hub_client import make_client, persist
from ddgs_hub.core.revisions import named_revision
from ddgs_hub.core.text import MOST_OF_A_NAME, one_line
from ddgs_hub.hub.provenance import Content, Provenance
from ddgs_hub.hub.publishing.publication import Result
from ddgs_hub.hub.publishing.remote import Snapshot, find_remote, find_version
from ddgs_hub.hub.publishing.row_lists import NUMBER, RowList, changed_difficulties, common_key
from ddgs_hub.recipe import changed_keys

MOST_ROWS = 10  # that the text of a difference lists
MOST_KEYS = 100  # of a recipe, that it lists


@dataclass(frozen=True, kw_only=True)
class VersionDiff(Result):
    """What differs between two versions of a dataset.

    Attributes:
        a: the first version.
        b: the second.
        added: rows of `b` whose image is not in `a`: `image_sha256`, or `source_index` where a version has no images,
            `label` (name of the class), `difficulty`.
        removed: rows of `a` whose image is not in `b`.
        common: how many rows are in both.
        changed: how many `rows` of these have another difficulty, the `mean` and the `largest` of the changes.
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

    @property
    def text(self) -> str:
        """For people."""
        lines = [f"{self.a} → {self.b}: {len(self.added)} rows added, {len(self.removed)} gone, {self.common} in both"]
        lines += [*_row_lines("+", self.added), *_row_lines("-", self.removed)]
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
class ModelDiff(Result):
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

    @property
    def text(self) -> str:
        """For people."""
        weights = "the same weights" if self.same_weights else "other weights"
        return "\n".join([f"{self.a} → {self.b}: {weights}", "", *_recipe_lines(self.recipe)])


def diff_versions(
    repo_id: str, a: str, b: str | None = None, *, token: str | None = None, api: HfApi | None = None
) -> VersionDiff | ModelDiff:
    """Rows, difficulties and recipe keys in which version `b` of a dataset differs from version `a`.

    For a model: recipe keys, and whether the weights differ.

    Args:
        repo_id: `owner/name`, or `owner/name@v1.0.0`: then that is `a`, and the one version that is given is `b`.
        a: a version, as `v1.0.0`.
        b: another one.
        token: instead of that of the environment or the login.
        api: a client to use instead of a new one.

    Raises:
        InputError: there are not two versions to compare, no such repository or version, the Hub refuses, or it does
            not answer.
    """
    repo_id, named = named_revision(repo_id)
    if named and b is None:
        a, b = named, a
    elif named or b is None:
        raise InputError(f"diff of {repo_id} compares two versions: give OWNER/NAME A B, or OWNER/NAME@A B")
    remote = find_remote(make_client(api, token), repo_id)
    tags = persist(repo_id, remote.versions, repo_type=remote.repo_type)
    for name in (a, b):
        find_version(tags, name, repo_id)
    first, second = (persist(repo_id, partial(remote.snapshot_of, name), repo_type=remote.repo_type) for name in (a, b))
    recipe = changed_keys(_settings(first.provenance), _settings(second.provenance))
    if remote.repo_type == "model":
        return ModelDiff(a=a, b=b, same_weights=_weights(first) == _weights(second), recipe=recipe)
    rows = {side: RowList.read(remote, snapshot) for side, snapshot in (("a", first), ("b", second))}
    key = common_key(rows["a"], rows["b"])
    counts = {side: Counter(part.columns[key]) for side, part in rows.items()}
    return VersionDiff(
        a=a,
        b=b,
        added=rows["b"].rows_of(counts["b"] - counts["a"], key),
        removed=rows["a"].rows_of(counts["a"] - counts["b"], key),
        common=(counts["a"] & counts["b"]).total(),
        changed=changed_difficulties(rows["a"], rows["b"], key),
        difficulty={side: part.distribution() for side, part in rows.items()},
        recipe=recipe,
    )


def _weights(snapshot: Snapshot) -> str:
    """The hash of the weights; if `provenance.json` has none, the commit, which is unique."""
    return (snapshot.provenance.content or Content()).weights or snapshot.commit


def _settings(provenance: Provenance) -> Any:
    """What made a version: the recipe, or what is known of a pool without one, or source and scorer of scored images.

    `sampled.seed` is the seed of the draw. A set that was sampled from a published pool has its own.
    """
    recipe = provenance.recipe
    if recipe is None and provenance.sampled is not None:
        described = asdict(provenance.described) if provenance.described else {}
        return {"described": described, "scorer": provenance.scorer or {}, "sampled": _without_versions(provenance)}
    if recipe is None:
        source = asdict(provenance.source) if provenance.source else None
        settings = {"source": source, "scorer": provenance.scorer}
        return {key: value for key, value in settings.items() if value is not None} or None
    drawn = provenance.sampled or recipe
    return {**recipe, "sampled": {"seed": drawn.get("seed")}} if "sample" in recipe else recipe


def _without_versions(provenance: Provenance) -> dict[str, Any]:
    return {key: value for key, value in (provenance.sampled or {}).items() if key != "versions"}


def _row_lines(sign: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for row in rows[:MOST_ROWS]:
        name = f"row {row[NUMBER]}" if NUMBER in row else str(row["image_sha256"][:12])
        difficulty = "" if row["difficulty"] is None else f"  {row['difficulty']:.3f}"
        lines.append(f"  {sign} {name}  {one_line(row['label'], MOST_OF_A_NAME)}{difficulty}")
    if len(rows) > MOST_ROWS:
        lines.append(f"  {sign} … {len(rows) - MOST_ROWS} more: see --json")
    return lines


def _recipe_lines(recipe: Mapping[str, list[Any]]) -> list[str]:
    lines = [f"{one_line(key)}: {one_line(old)} → {one_line(new)}" for key, (old, new) in recipe.items()]
    if len(lines) > MOST_KEYS:
        lines[MOST_KEYS:] = [f"… {len(lines) - MOST_KEYS} more: see --json"]
    return ["recipe:", *(f"  {line}" for line in lines)] if lines else ["recipe: the same"]
