"""The stages from the original images to scored ones and a scored pool, each with what it is made of.

A run goes through them and samples; a study goes through those that it needs.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ddgs_hub.core.made import Made
from ddgs_hub.core.processes import run_on_main
from ddgs_hub.recipe import Recipe
from ddgs_hub.stages.base import make_base
from ddgs_hub.stages.finetune import make_dit
from ddgs_hub.stages.original import make_original
from ddgs_hub.stages.pool import make_pool
from ddgs_hub.stages.run_folder import RunFolder
from ddgs_hub.stages.score import score_in_place
from ddgs_hub.stages.scorer import make_scorer
from ddgs_hub.stages.usability import check_pool_folder, with_check

ORIGINAL, SCORER, BASE, DIT = "original", "train-scorer", "pretrain", "finetune"
POOL, BASE_POOL = "generate", "generate (plain DiT)"
SCORED_ORIGINAL, SCORED_POOL, SCORED_BASE_POOL = "score original", "score pool", "score pool (plain DiT)"


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Attributes:
        name: as printed.
        output: the folder that must be there when it is finished.
        work: makes it and returns what it made.
        distributed: all processes of an `accelerate launch` work on it; else the first alone.
        made_of: names of the stages whose output it reads.
    """

    name: str
    output: Path
    work: Callable[[], Made]
    distributed: bool = False
    made_of: tuple[str, ...] = ()


def pool_stages(recipe: Recipe, run: RunFolder, *, per_class: int, plain_per_class: int, command: str) -> list[Stage]:
    """The stages of a recipe up to the scored pool, in an order in which they can be carried out.

    Args:
        recipe: what to make; whether it names a base and a scorer decides whether these are trained.
        run: where.
        per_class: images a class of the pool.
        plain_per_class: images a class that the base generates, to compare with.
        command: the command line, for cards.
    """
    base = recipe.model.base or run.base
    scorer, scorer_revision = recipe.score.scorer or run.scorer, recipe.score.revision
    stages = [Stage(ORIGINAL, run.original, partial(make_original, recipe, run.original))]

    def add(
        name: str, output: Path, made_of: tuple[str, ...], make: Callable[..., Made], *given: Any, **more: Any
    ) -> None:
        stages.append(Stage(name, output, partial(make, *given, **more), distributed=True, made_of=made_of))

    trained_scorer = (SCORER,) if recipe.score.scorer is None else ()
    trained_base = (BASE,) if recipe.model.base is None else ()
    if trained_scorer:
        add(SCORER, run.scorer, (ORIGINAL,), make_scorer, recipe, run.original, run.scorer, command=command)
    if trained_base:
        add(BASE, run.base, (ORIGINAL,), make_base, recipe, run.original, run.base)
    add(DIT, run.dit, (ORIGINAL, *trained_base), make_dit, recipe, run.original, base, run.dit, command=command)
    score = recipe.score
    scoring: dict[str, Any] = {"revision": scorer_revision, "batch_size": score.batch_size}
    scoring["soft_labels"] = score.soft_labels
    originals = SCORED_ORIGINAL, run.original, (ORIGINAL, *trained_scorer), score_in_place, run.original, scorer
    guided, guide_of = guiding(recipe, run)
    if SCORED_ORIGINAL in guide_of:
        add(*originals, **scoring)
    add(POOL, run.pool, (DIT, *guide_of), make_pool, recipe, run.dit, run.pool, per_class=per_class, **guided)
    unguided = replace(recipe, pool=replace(recipe.pool, guide="none"))
    plain = {"per_class": plain_per_class, "revision": recipe.model.revision}
    add(BASE_POOL, run.base_pool, trained_base, make_pool, unguided, base, run.base_pool, **plain)
    if SCORED_ORIGINAL not in guide_of:
        add(*originals, **scoring)
    add(SCORED_POOL, run.pool, (POOL, *trained_scorer), _score_pool, recipe, run, scorer, **scoring)
    if recipe.evaluate.labels == "soft":  # networks are trained on these images, too
        made_of = (BASE_POOL, *trained_scorer)
        add(SCORED_BASE_POOL, run.base_pool, made_of, score_in_place, run.base_pool, scorer, **scoring)
    return stages


def guiding(recipe: Recipe, run: RunFolder) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What `make_pool` is given for the recipe's guide, by name, and the stages that make it."""
    if recipe.pool.guide == "modes":
        return {"original": run.original}, (ORIGINAL,)
    if recipe.pool.guide == "difficulty":
        guided_by = run.scorer if recipe.score.scorer is None else None  # None: the recipe's, at its revision
        return {"original": run.scored_original, "guided_by": guided_by}, (SCORED_ORIGINAL,)
    return {}, ()


def _score_pool(recipe: Recipe, run: RunFolder, scorer: str | Path, **scoring: Any) -> Made:
    """Scores the pool, and says whether it is usable beside the original images, which are scored before it."""
    made = score_in_place(run.pool, scorer, **scoring)
    return with_check(made, run_on_main(lambda: check_pool_folder(run.pool, run.original, recipe.sample.ipc)))
