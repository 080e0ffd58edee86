"""What steers a pool, by `pool.guide` of the recipe: found in the original images before the first one is generated."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Dataset
from scipy.special import logit

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.histogram import as_difficulties
from ddgs_hub.core.processes import run_on_main
from ddgs_hub.core.rows import read_rows, require_columns
from ddgs_hub.recipe import Recipe

if TYPE_CHECKING:
    from ddgs_hub.diffusion import Codec, Guide, PoolClasses


MOST_CERTAIN = 1e-7  # a difficulty that is nearer to 0 or 1 counts as this far: its margin would be infinite


def require_guided_by(recipe: Recipe, original: Path | None, scorer: str | None) -> None:
    """Refuses, before a model is loaded, a recipe whose guide lacks what it looks at.

    Args:
        recipe: `pool.guide`.
        original: folder of the original images.
        scorer: a Hub id or a folder.

    Raises:
        InputError: it does; the message says what to give.
    """
    guide = recipe.pool.guide
    where = {"modes": "the original images (from `prepare`)", "difficulty": "scored original images (from `score`)"}
    if guide != "none" and original is None:
        raise InputError(
            f"pool.guide is {guide}, which is found in {where[guide]}: give --original FOLDER, or --set pool.guide=none"
        )
    if guide == "difficulty" and scorer is None:
        raise InputError(
            "pool.guide is difficulty, and the recipe names no scorer to guide by: give --scorer, or --set "
            "pool.guide=none"
        )
    if guide == "difficulty" and original is not None and "difficulty" not in read_rows(original).column_names:
        raise InputError(
            f"{original} has no difficulties, which pool.guide=difficulty follows: score it (`ddgs-hub score`), "
            "and give the folder that it writes as --original"
        )


def make_guide(
    recipe: Recipe,
    classes: "PoolClasses",
    codec: "Codec",
    *,
    original: Path | None,
    scorer: str | None,
    latents: Path,
) -> "Guide | None":
    """The guide that a recipe names; None where it names none. All processes of a launch call it.

    Args:
        recipe: `pool.guide` and its section; `sample.ipc` is the number of modes where the section has none.
        classes: of the pool.
        codec: on its device.
        original: folder of the original images, and scorer: see `require_guided_by`.
        scorer: a Hub id or a folder.
        latents: folder of encoded images, which fine-tuning shares.

    Raises:
        InputError: the original lacks a column or a class of the pool or has no difficulty in 0 … 1 where it is
            followed, an image cannot be decoded, or the scorer cannot be loaded, does not know a class, or is not of
            timm.
    """
    if recipe.pool.guide == "none":
        return None
    assert original is not None
    rows = read_rows(original)
    where = _rows_of(classes, rows, recipe, original)
    if recipe.pool.guide == "modes":
        require_columns(rows, "image", "label", where=str(original))
        return _mode_guide(recipe, codec, rows, where, latents)
    assert scorer is not None
    return _difficulty_guide(recipe, classes, codec, rows, where, scorer)


def _mode_guide(recipe: Recipe, codec: "Codec", rows: Dataset, where: list[Any], latents: Path) -> "Guide":
    from ddgs_hub.diffusion import LatentCache, ModeGuide, find_modes

    settings, data, ids = recipe.pool.modes, recipe.data, _dit_ids(rows, recipe)
    # With the mirrored images, though modes are those of the others: fine-tuning has encoded both, or will need them.
    cache = LatentCache.encode(rows, codec, ids, latents, image_size=data.image_size, flip=data.flip)
    count = settings.count or recipe.sample.ipc
    modes: list[Any] = run_on_main(lambda: [find_modes(cache.mean[0][own], count, recipe.seed) for own in where])
    return ModeGuide(modes, strength=settings.strength, share=settings.share)


def _difficulty_guide(
    recipe: Recipe, classes: "PoolClasses", codec: "Codec", rows: Dataset, where: list[Any], scorer: str
) -> "Guide":
    from ddgs_hub.difficulty import DifferentiableMargins, Scorer
    from ddgs_hub.diffusion import DifficultyGuide

    margins = DifferentiableMargins(Scorer.from_pretrained(scorer), classes.names, classes.wnids)
    return DifficultyGuide(
        codec,
        margins,
        wanted_margins(rows, where),
        classifier=margins.identity,
        **asdict(recipe.pool.difficulty),
    )


def wanted_margins(rows: Dataset, where: list[Any]) -> list[Any]:
    """The margins of scored rows, finite, of each class of a pool.

    Args:
        rows: with `difficulty`.
        where: the numbers of the rows of each class.

    Raises:
        InputError: a difficulty is missing, no number or outside 0 … 1.
    """
    given = np.array(rows["difficulty"], dtype=np.float64)  # a missing one is NaN, and refused
    difficulties = as_difficulties(given, "difficulty of the original images").clip(MOST_CERTAIN, 1 - MOST_CERTAIN)
    return [logit(difficulties[own]) for own in where]


def _dit_ids(rows: Dataset, recipe: Recipe) -> list[int]:
    """The class index in the DiT of each label of the original."""
    from ddgs_hub.diffusion import PoolClasses

    return PoolClasses.of(rows, recipe.model.label_space).dit_ids


def _rows_of(classes: "PoolClasses", rows: Dataset, recipe: Recipe, original: Path) -> list[Any]:
    """The numbers of the original's rows of each class of the pool, found by the class's index in the DiT."""
    ids = np.asarray(_dit_ids(rows, recipe))[np.asarray(rows["label"])]
    found = [np.flatnonzero(ids == dit_id) for dit_id in classes.dit_ids]
    for name, own in zip(classes.names, found, strict=True):
        if not len(own):
            raise InputError(
                f"{original} has no image of the class '{name}', so nothing can steer its images: give the original "
                "that has all classes of the pool"
            )
    return found
