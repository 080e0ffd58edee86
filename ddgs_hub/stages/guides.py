"""What steers a pool, by `pool.guide` of the recipe: found in the original images before the first one is generated."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Dataset

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.processes import run_on_main
from ddgs_hub.core.rows import read_rows, require_columns
from ddgs_hub.recipe import Recipe

if TYPE_CHECKING:
    from ddgs_hub.diffusion import Codec, Guide, PoolClasses


def require_guided_by(recipe: Recipe, original: Path | None) -> None:
    """Refuses, before a model is loaded, a recipe whose guide lacks what it looks at.

    Raises:
        InputError: it does; the message says what to give.
    """
    if recipe.pool.guide == "modes" and original is None:
        raise InputError(
            "pool.guide is modes, and modes are found in the original images: give --original FOLDER (from `prepare`), "
            "or --set pool.guide=none"
        )


def make_guide(
    recipe: Recipe, classes: "PoolClasses", codec: "Codec", *, original: Path | None, latents: Path
) -> "Guide | None":
    """The guide that a recipe names; None where it names none. All processes of a launch call it.

    Args:
        recipe: `pool.guide` and its section; `sample.ipc` is the number of modes where the section has none.
        classes: of the pool.
        codec: on its device.
        original: folder of the original images; see `require_guided_by`.
        latents: folder of encoded images, which fine-tuning shares.

    Raises:
        InputError: the original lacks a column or a class of the pool, or an image cannot be decoded.
    """
    if recipe.pool.guide == "none":
        return None
    assert original is not None
    rows = read_rows(original)
    return _mode_guide(recipe, classes, codec, rows, original, latents)


def _mode_guide(
    recipe: Recipe, classes: "PoolClasses", codec: "Codec", rows: Dataset, original: Path, latents: Path
) -> "Guide":
    from ddgs_hub.diffusion import LatentCache, ModeGuide, find_modes

    require_columns(rows, "image", "label", where=str(original))
    settings, data = recipe.pool.modes, recipe.data
    where = _rows_of(classes, rows, recipe, original)
    ids = _dit_ids(rows, recipe)
    # With the mirrored images, though modes are those of the others: fine-tuning has encoded both, or will need them.
    cache = LatentCache.encode(rows, codec, ids, latents, image_size=data.image_size, flip=data.flip)
    count = settings.count or recipe.sample.ipc
    modes: list[Any] = run_on_main(lambda: [find_modes(cache.mean[0][own], count, recipe.seed) for own in where])
    return ModeGuide(modes, strength=settings.strength, share=settings.share)


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
