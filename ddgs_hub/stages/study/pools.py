"""The pools that `ours` of a study samples from: which stages make them, beside those of a run."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from ddgs_hub.recipe import Recipe
from ddgs_hub.recipe.guiding import GuideName
from ddgs_hub.stages.pool import make_pool
from ddgs_hub.stages.pool_stages import (
    BASE_POOL,
    POOL,
    SCORED_ORIGINAL,
    SCORED_POOL,
    SCORER,
    Stage,
    guiding,
    pool_stages,
)
from ddgs_hub.stages.score import score_source
from ddgs_hub.stages.score_request import ScoreRequest
from ddgs_hub.stages.study.real_pool import make_real_pool
from ddgs_hub.stages.study.study_folder import StudyFolder

GUIDES: tuple[GuideName, ...] = ("modes", "difficulty")  # pools of the base under this `pool.guide`
# By the pool's name: the stage that makes it …
GENERATED: dict[str, str] = {"minimax": POOL, "dit": BASE_POOL, **{guide: f"generate ({guide})" for guide in GUIDES}}
SCORED: dict[str, str] = {  # … and the one whose output is sampled from
    "minimax": SCORED_POOL,
    "dit": "score pool (plain DiT)",
    **{guide: f"score pool ({guide})" for guide in GUIDES},
    "real": "pool of real images",
    "easy-real": "pool of easy real images",
}


def scored_by(pool: str) -> str:
    """The stage whose output is sampled from, of a pool by its name, see `Cell.pool`."""
    name, _, draw = pool.partition("-draw")
    return f"{SCORED[name]}, draw {draw}" if draw else SCORED[name]


def sized_by(stage: str) -> str:
    """The stage whose number of images a class is also that of this stage: a scored pool has those of the pool."""
    return next((GENERATED[name] for name in GENERATED if SCORED[name] == stage), stage)


def study_stages(recipe: Recipe, folders: StudyFolder, command: str) -> list[Stage]:
    """The stages of a run up to the scored pool, and those of the other pools, in an order to carry them out.

    Scores go into folders of their own: other workers read the images.

    Args:
        recipe: of the study's dataset.
        folders: where, and how many images a class each pool has.
        command: the command line, for cards.
    """
    sizes = {"per_class": folders.sizes.get("minimax", 0), "plain_per_class": folders.sizes.get("dit", 0)}
    stages = {stage.name: stage for stage in pool_stages(recipe, folders, **sizes, command=command)}
    of_original = stages[SCORED_ORIGINAL].made_of
    trained_scorer = tuple(name for name in of_original if name == SCORER)

    def score(name: str, source: Path, output: Path, made_of: tuple[str, ...], *, with_images: bool) -> Stage:
        request = ScoreRequest(
            source=str(source.resolve()),
            scorer=str(recipe.score.scorer or folders.scorer),
            scorer_revision=recipe.score.revision,
            with_images=with_images,
            batch_size=recipe.score.batch_size,
            soft_labels=recipe.score.soft_labels,
        )
        return Stage(name, output, partial(score_source, request, output), distributed=True, made_of=made_of)

    originals = (folders.original, folders.scored_original, of_original)
    stages[SCORED_ORIGINAL] = score(SCORED_ORIGINAL, *originals, with_images=False)
    for guide in GUIDES:
        output = folders.pool_of(guide)
        # Modes are as many as the largest set has images a class.
        guided = replace(recipe.with_ipc(folders.ipc), pool=replace(recipe.pool, guide=guide))
        given, guide_of = guiding(guided, folders)
        given |= {"per_class": folders.sizes.get(guide, 0), "revision": recipe.model.revision}
        make = partial(make_pool, guided, recipe.model.base or folders.base, output, **given)
        made_of = tuple(dict.fromkeys([*stages[BASE_POOL].made_of, *guide_of]))
        stages[GENERATED[guide]] = Stage(GENERATED[guide], output, make, distributed=True, made_of=made_of)
    for name, made_by in GENERATED.items():
        pool = (folders.pool_of(name), folders.scored_pool_of(name), (made_by, *trained_scorer))
        stages[SCORED[name]] = score(SCORED[name], *pool, with_images=True)
    for name in ["real", *(pool for pool in folders.sizes if pool.startswith("easy-real"))]:
        stage, output = scored_by(name), folders.scored_pool_of(name)
        of_real = partial(
            make_real_pool,
            folders.original,
            folders.scored_original,
            output,
            per_class=folders.sizes.get(name),
            easy_bias=0.0 if name == "real" else folders.easy_bias,
            seed=recipe.seed + int(name.partition("-draw")[2] or 0),
        )
        stages[stage] = Stage(stage, output, of_real, made_of=(SCORED_ORIGINAL,))
    return list(stages.values())
