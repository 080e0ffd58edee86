"""What is known of a pool that is sampled from: the run that made it, what was published with it, or nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.front_matter import read_mapping
from ddgs_hub.core.schema import read_bytes
from ddgs_hub.hub import Described, OpenedPool, hash_pool_rows
from ddgs_hub.hub.layout import RECIPE, RUN_POOL
from ddgs_hub.hub.provenance import Source
from ddgs_hub.recipe import Recipe, parse_recipe, recipe_in
from ddgs_hub.stages.provenance import model_identity, recipe_of, scorer_identity
from ddgs_hub.stages.run_folder import RunFolder

UNKNOWN = "not recorded"


@dataclass(frozen=True, kw_only=True)
class PoolOrigin:
    """Where a pool is from.

    Attributes:
        recipe: of the run that generated it; None: ddgs-hub did not, or nobody noted how.
        run: the folder of that run; None: it is not here.
        versions: library → version, with which it was made.
        content: identities of the pool, of what generated and of what scored it, for `provenance.json`.
        scorer: of a pool without recipe, as in `provenance.json`: `id` and `commit`, or `name` and `weights`.
        source: of such a pool, the dataset on the Hub whose images were scored; None: they were in no dataset there.
        described: of such a pool, what is said of it.
    """

    recipe: Recipe | None = None
    run: Path | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    content: Mapping[str, Any]
    scorer: Mapping[str, Any] | None = None
    source: Source | None = None
    described: Described


def find_origin(
    opened: OpenedPool,
    pool: str | Path,
    *,
    generator: str | None = None,
    license: str | None = None,
    pretty_name: str | None = None,
) -> PoolOrigin:
    """What is known of a pool.

    Args:
        opened: the pool.
        pool: its name, as it was given.
        generator: what made its images, for a pool that ddgs-hub did not generate.
        license: of these images, as the Hub names it.
        pretty_name: of these images, for people; None: that of the folder or dataset.

    Raises:
        InputError: one of these three is given for a pool whose recipe is known, or the run of a pool is not whole.
    """
    provenance = opened.provenance
    content = provenance.content.to_dict() if provenance.content else {}
    kept: dict[str, Any] = {key: content[key] for key in ("pool", "dit", "scorer") if key in content}
    if "pool" not in kept:
        kept["pool"] = hash_pool_rows(opened.tables()[1])
    known = provenance.described
    source = opened.pool_source
    name = source.id.split("/")[-1] if source else opened.folder.resolve().name
    described = Described(
        pretty_name=pretty_name or (known.pretty_name if known else name),
        license=license or (known.license if known else "other"),
        generator=generator or (known.generator if known else None),
    )
    run = None if source or opened.foreign else _run_of(opened.folder)
    if recipe := recipe_of(provenance) if {"dit", "scorer"} <= kept.keys() else None:
        origin = PoolOrigin(recipe=recipe, versions=provenance.versions, content=kept, described=described)
    elif run:
        origin = _of_run(run, kept["pool"], described)
    else:
        others = {"dit": described.generator or kept.get("dit", UNKNOWN), "scorer": kept.get("scorer", UNKNOWN)}
        scored = provenance.source if provenance.source and provenance.source.id else None
        content = {**kept, **others}
        return PoolOrigin(content=content, scorer=provenance.scorer, source=scored, described=described)
    for option, value in (("--generator", generator), ("--license", license), ("--pretty-name", pretty_name)):
        if value is not None:
            raise InputError(f"the recipe of {pool} says what made it and what it is called: leave out {option}")
    return origin


def _run_of(pool: Path) -> Path | None:
    """The run folder whose pool this is; None where it is in none, or in one that is not finished so far."""
    run = pool.resolve().parent
    return run if pool.resolve().name == RUN_POOL and (run / RECIPE).is_file() and (run / "dit").is_dir() else None


def _of_run(run: Path, pool: str, described: Described) -> PoolOrigin:
    path = run / RECIPE
    values = read_mapping(read_bytes(path, str(path)).decode("utf-8", errors="replace"), str(path))
    recipe = parse_recipe(recipe_in(values), str(path))
    folders = RunFolder(run, recipe.sample.ipc)
    identities = made_of(recipe, folders)
    versions = values.get("versions")
    return PoolOrigin(
        recipe=recipe,
        run=run,
        versions=versions if isinstance(versions, dict) else {},
        content={"pool": pool, **identities},
        described=described,
    )


def made_of(recipe: Recipe, run: RunFolder) -> dict[str, str]:
    """Identities of the DiT and of the scorer of a run.

    Raises:
        InputError: one of them is not there.
    """
    scorer = recipe.score.scorer or run.scorer
    return {"dit": model_identity(run.dit), "scorer": scorer_identity(scorer, recipe.score.revision)}
