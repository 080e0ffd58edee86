"""From a distilled set to the folder that is published: rows, card, pictures, and what made them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ddgs_hub.core.made import Made
from ddgs_hub.core.rows import read_rows
from ddgs_hub.core.schema import read_json
from ddgs_hub.hub import (
    CONTENT,
    ClassSelection,
    DistilledCard,
    EvaluatedOn,
    PublishedPool,
    describe_rows,
    export_dataset,
    hash_pool,
    model_index,
)
from ddgs_hub.hub.layout import SAMPLING, public_name
from ddgs_hub.recipe import Recipe
from ddgs_hub.stages.compare import METHODS, read_evaluation, read_table
from ddgs_hub.stages.figure_rows import sampled_with
from ddgs_hub.stages.pool_origin import made_of
from ddgs_hub.stages.provenance import made_with, original_ids
from ddgs_hub.stages.run_folder import SELECTIONS, RunFolder


def make_repository(recipe: Recipe, run: RunFolder, *, command: str) -> Made:
    """Writes the repository of one of a run's distilled sets, with its evaluation and its figures.

    Args:
        recipe: of the run.
        run: its folder as that set sees it, in which all other stages are finished.
        command: the command line that makes it again, for the card.

    Raises:
        InputError: a file of the run is missing or damaged, or the folder cannot be written.
    """
    rows = read_rows(run.distilled)
    of_set = recipe.with_ipc(run.ipc)
    if recipe.sample.distribution == "auto":  # the card says what was chosen, and `recipe.yaml` that it was
        of_set = replace(of_set, sample=sampled_with(run.distilled)[0])
    made, sample = made_with(recipe), recipe.sample  # `recipe.yaml` makes all sets of the run
    content = {**describe_rows(rows), "pool": hash_pool(run.pool), **made_of(recipe, run)}
    candidates = None
    if run.one_of_several or sample.pool_size:  # the pool is that of the largest IPC, or a part of it is taken
        per_class = sample.pool_size * run.ipc if sample.pool_size else recipe.pool.size * sample.ipc
        candidates = PublishedPool(per_class=per_class)
    card = DistilledCard(
        recipe=of_set,
        source_datasets=original_ids(recipe),
        classes=read_selections(run.distilled),
        chosen=read_chosen(run.distilled),
        evaluation=f"{read_table(run.evaluation)}\n\n{METHODS}",
        results=model_index([(read_evaluation(run.evaluation), _evaluated_on(recipe))]),
        command=command,
        versions=made["versions"],
        published_pool=candidates,
    )
    figures = {path.stem: path for path in sorted(run.figures.glob("*.png"))}
    provenance = {**made_with(of_set), CONTENT: content}
    export_dataset(rows, run.repository, card, provenance=provenance, figures=figures, recipe=made)
    return Made(f"{run.repository}, with its card", {"output": str(run.repository), "images": len(rows)})


def read_selections(distilled: Path) -> list[ClassSelection]:
    """How each class of a distilled set was selected.

    Raises:
        InputError: there is no such file, or it is damaged.
    """
    return read_json(distilled / SELECTIONS, list[ClassSelection], str(distilled / SELECTIONS))


def read_chosen(distilled: Path) -> str:
    """How the target `auto` came to the settings of a distilled set; empty where it did not.

    Raises:
        InputError: its `sampling.json` is missing or damaged.
    """
    path = distilled / SAMPLING
    match read_json(path, dict[str, Any], str(path)).get("auto"):
        case {"text": str(text)}:
            return text
    return ""


def _evaluated_on(recipe: Recipe) -> EvaluatedOn:
    """The validation images of a run: those of its original, or a share of them that was held out."""
    data = recipe.data
    return EvaluatedOn(
        id=public_name(data.original),
        name=recipe.hub.pretty_name,
        split=data.validation_split if data.validation_share is None else None,
    )
