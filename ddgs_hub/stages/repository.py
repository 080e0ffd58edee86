"""From a distilled set to the folder that is published: rows, card, pictures, and what made them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from ddgs_hub.core.made import Made
from ddgs_hub.core.rows import read_rows
from ddgs_hub.core.schema import read_json
from ddgs_hub.hub import (
    CONTENT,
    DISTILLED,
    KIND,
    ClassSelection,
    DistilledCard,
    EvaluatedOn,
    OpenedPool,
    PublishedPool,
    describe_rows,
    export_dataset,
    hash_pool,
    model_index,
)
from ddgs_hub.hub.layout import FIGURES, public_name
from ddgs_hub.recipe import Recipe, SampleSettings, values_of_run
from ddgs_hub.stages.commands import sample_command
from ddgs_hub.stages.compare import METHODS, read_evaluation, read_table
from ddgs_hub.stages.figures import draw_sheet
from ddgs_hub.stages.provenance import library_versions, made_with, model_identity, original_ids, scorer_identity
from ddgs_hub.stages.run_folder import SELECTIONS, SHEET, RunFolder


def make_repository(recipe: Recipe, run: RunFolder, *, command: str) -> Made:
    """Writes the repository of a run's distilled set, with its evaluation and its figures.

    Args:
        recipe: of the run.
        run: its folder, in which all other stages are finished.
        command: the command line that makes it again, for the card.

    Raises:
        InputError: a file of the run is missing or damaged, or the folder cannot be written.
    """
    rows = read_rows(run.distilled)
    scorer = recipe.score.scorer or run.scorer
    identities = {"dit": model_identity(run.dit), "scorer": scorer_identity(scorer, recipe.score.revision)}
    content = {**describe_rows(rows), "pool": hash_pool(run.pool), **identities}
    _write(
        rows,
        run.repository,
        recipe,
        provenance={**made_with(recipe), CONTENT: content},
        selections=read_selections(run.distilled),
        figures={path.stem: path for path in sorted(run.figures.glob("*.png"))},
        command=command,
        evaluation=f"{read_table(run.evaluation)}\n\n{METHODS}",
        results=model_index([(read_evaluation(run.evaluation), _evaluated_on(recipe))]),
    )
    return Made(f"{run.repository}, with its card", {"output": str(run.repository), "images": len(rows)})


def write_sampled_repository(
    recipe: Recipe | None,
    sample: SampleSettings,
    opened: OpenedPool,
    rows: Dataset,
    classes: Sequence[Mapping[str, Any]],
    folder: Path,
    seed: int,
) -> Path | None:
    """Writes the repository of rows that were sampled from a published pool into the `hub/` of a folder.

    Args:
        recipe: that of the pool; None if it is not known.
        sample: the settings by which the rows were sampled.
        opened: the pool.
        rows: the distilled rows.
        classes: how each class was selected, see `Distillation.classes`.
        folder: of the distilled set; the sheet of its images is drawn there, too.
        seed: of the draw.

    Returns:
        The repository's folder; None if the pool is not on the Hub, or its recipe or content is not known.
    """
    source, content, versions = opened.pool_source, opened.provenance.content, opened.provenance.versions
    if source is None or recipe is None or content is None:
        return None
    recipe = replace(recipe, sample=sample)
    provenance = {
        KIND: DISTILLED.name,
        "recipe": values_of_run(recipe),
        "versions": versions,  # with which the pool was made
        "sampled": {**opened.sources, "seed": seed, "versions": library_versions()},
        CONTENT: {**content.to_dict(), **describe_rows(rows)},
    }
    in_the_pool = int(np.bincount(opened.columns["label"]).max())
    candidates = sample.pool_size * sample.ipc if sample.pool_size else in_the_pool
    sheet = folder / FIGURES / SHEET
    sheet.parent.mkdir()
    draw_sheet(rows, sheet)
    repository = RunFolder(folder, sample.ipc, recipe.hub.repository(sample.ipc)).repository
    return _write(
        rows,
        repository,
        recipe,
        provenance=provenance,
        selections=[ClassSelection(**selection) for selection in classes],
        figures={sheet.stem: sheet},
        command=sample_command(sample, opened, seed),
        published_pool=PublishedPool(repo_id=source.id, commit=source.commit, per_class=candidates),
    )


def read_selections(distilled: Path) -> list[ClassSelection]:
    """How each class of a distilled set was selected.

    Raises:
        InputError: there is no such file, or it is damaged.
    """
    return read_json(distilled / SELECTIONS, list[ClassSelection], str(distilled / SELECTIONS))


def _evaluated_on(recipe: Recipe) -> EvaluatedOn:
    """The validation images of a run: those of its original, or a share of them that was held out."""
    data = recipe.data
    return EvaluatedOn(
        id=public_name(data.original),
        name=recipe.hub.pretty_name,
        split=data.validation_split if data.validation_share is None else None,
    )


def _write(
    rows: Dataset,
    folder: Path,
    recipe: Recipe,
    *,
    provenance: Mapping[str, Any],
    selections: Sequence[ClassSelection],
    figures: Mapping[str, Path],
    command: str,
    evaluation: str = "",
    results: Sequence[Mapping[str, Any]] = (),
    published_pool: PublishedPool | None = None,
) -> Path:
    card = DistilledCard(
        recipe=recipe,
        source_datasets=original_ids(recipe),
        classes=selections,
        evaluation=evaluation,
        results=results,
        command=command,
        versions=provenance["versions"],
        published_pool=published_pool,
    )
    return export_dataset(rows, folder, card, provenance=provenance, figures=figures)
