"""Sampling from any scored pool; from a published one comes another set that can be published."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ddgs_hub import __version__
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.folders import staged_folder
from ddgs_hub.recipe import Recipe, SampleSettings, parse_recipe, recipe_to_dict
from ddgs_hub.sampling.datasets import Distillation
from ddgs_hub.stages.original import write_distilled
from ddgs_hub.stages.repository import draw_sheet

if TYPE_CHECKING:
    from ddgs_hub.hub import OpenedPool
    from ddgs_hub.hub.provenance import Provenance


def sample_source(
    sample: SampleSettings, pool: str, original: str | None, output: Path, *, seed: int | None
) -> dict[str, Any]:
    """Samples a distilled dataset from a scored pool, see `open_pool`.

    Of a published pool whose `provenance.json` tells what made it, `output` also has a repository in its `hub/`, as a
    run folder has, without an evaluation: `publish` takes it.

    Args:
        sample: the settings.
        pool: a folder, or `owner/name[@revision]`.
        original: the same of the scored original; None: what was published with the pool.
        output: where to write.
        seed: of the draw; None: that of the recipe which made the pool, or 0 where none is told.
    """
    from ddgs_hub.hub import open_pool

    opened = open_pool(pool, original)
    told = _recipe_of(opened.provenance)
    seed = (told.seed if told else 0) if seed is None else seed
    with staged_folder(output) as folder:
        result, made = write_distilled(sample, opened, folder, seed=seed)
        repository = _write_repository(told, sample, opened, result, folder, seed)
    lines = [made["text"]]
    if opened.pool_source:
        lines.append(f"pool of {opened.pool_source.id} at commit {opened.pool_source.commit}")
    if repository:
        lines.append(f"to publish: {output / repository.relative_to(folder)}, with its card")
    return {**made, "sources": opened.sources, "text": "\n".join(lines)}


def _write_repository(
    told: Recipe | None, sample: SampleSettings, opened: "OpenedPool", result: Distillation, folder: Path, seed: int
) -> Path | None:
    """Writes the repository of the rows; None where what they are made of is not told."""
    from ddgs_hub.hub import (
        CONTENT,
        DISTILLED,
        KIND,
        ClassSelection,
        DatasetCard,
        PublishedPool,
        describe_rows,
        export_dataset,
        hub_id,
    )

    source, content, versions = opened.pool_source, opened.provenance.content, opened.provenance.versions
    if source is None or told is None or content is None:
        return None
    recipe = replace(told, sample=sample)
    provenance = {
        KIND: DISTILLED.name,
        "recipe": recipe_to_dict(recipe),
        "versions": versions,  # with which the pool was made
        "sampled": {**opened.sources, "seed": seed, "versions": {"ddgs-hub": __version__}},
        CONTENT: {**content.told(), **describe_rows(result.rows)},
    }
    in_the_pool = int(np.bincount(opened.pool["label"]).max())
    candidates = sample.pool_size * sample.ipc if sample.pool_size else in_the_pool
    card = DatasetCard(
        recipe=recipe,
        source_datasets=[name for name in (hub_id(recipe.data.original),) if name],
        classes=[ClassSelection(**selection) for selection in result.classes],
        command=_command(sample, opened, seed),
        versions=versions,
        published_pool=PublishedPool(repo_id=source.id, commit=source.commit, per_class=candidates),
    )
    sheet = folder / "figures" / "sheet.png"
    sheet.parent.mkdir()
    draw_sheet(result.rows, sheet)
    repository = folder / "hub" / card.repo_id.split("/")[1]
    return export_dataset(result.rows, repository, card, provenance=provenance, figures={"sheet": sheet})


def _recipe_of(provenance: "Provenance") -> Recipe | None:
    """The recipe that a published `provenance.json` tells of; None where it is none, or one of another ddgs-hub."""
    try:
        return parse_recipe(provenance.recipe) if provenance.recipe is not None else None
    except InputError:  # the rows are good all the same
        return None


def _command(sample: SampleSettings, opened: "OpenedPool", seed: int) -> str:
    """The command that samples these rows again; empty where a folder of this machine would have to be named."""
    pool, original = opened.pool_source, opened.original_source
    if pool is None or original is None:
        return ""
    options: dict[str, Any] = {"pool": f"{pool.id}@{pool.commit}", "original": f"{original.id}@{original.commit}"}
    if original == pool:
        del options["original"]
    usual = asdict(SampleSettings())
    chosen = {key: value for key, value in asdict(sample).items() if key == "ipc" or value != usual[key]}
    options |= {**chosen, "seed": seed, "output": f"distilled-ipc{sample.ipc}"}
    return "ddgs-hub sample " + " ".join(f"--{key.replace('_', '-')} {value}" for key, value in options.items())
