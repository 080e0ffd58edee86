"""From a DiT to a pool of generated images: the stage `generate`."""

from pathlib import Path
from typing import TYPE_CHECKING

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.made import Made
from ddgs_hub.core.processes import get_accelerator
from ddgs_hub.core.revisions import named_revision
from ddgs_hub.core.staging import shared_sibling
from ddgs_hub.original import SUBSETS
from ddgs_hub.recipe import Recipe
from ddgs_hub.stages.guides import make_guide, require_guided_by
from ddgs_hub.stages.run_folder import LATENTS

if TYPE_CHECKING:
    from diffusers import DiTTransformer2DModel

    from ddgs_hub.difficulty import BatchScorer
    from ddgs_hub.diffusion import Codec, PoolClasses


def make_pool(
    recipe: Recipe,
    dit: str | Path,
    output: Path,
    *,
    per_class: int,
    revision: str | None = None,
    scorer: str | None = None,
    original: Path | None = None,
    guided_by: str | Path | None = None,
) -> Made:
    """Generates images; with a scorer, scores each batch as soon as it is decoded.

    Args:
        recipe: `pool` says how, `data.subset` which classes.
        dit: a Hub id, the name of a shipped base, a folder, an adapter or a checkpoint.
        output: folder of the pool.
        per_class: images a class.
        revision: of a DiT on the Hub.
        scorer: a Hub id or a folder.
        original: folder of the original images, for a guide: scored where it guides by difficulty.
        guided_by: the scorer of a guide; None: `scorer`, or that of the recipe.

    Returns:
        The number of images, and how they were generated.

    Raises:
        InputError: the DiT, its autoencoder or the scorer cannot be loaded, or does not know a class; or the guide
            lacks something.
    """
    from ddgs_hub.diffusion import generate_pool

    guiding = _guiding_scorer(recipe, guided_by or scorer)
    require_guided_by(recipe, original, guiding)
    pool = recipe.pool
    model, codec, classes = _load(recipe, str(dit), revision)
    latents = shared_sibling(output, LATENTS)
    guide = make_guide(recipe, classes, codec, original=original, scorer=guiding, latents=latents)
    count = generate_pool(
        model,
        codec,
        output,
        classes,
        per_class=per_class,
        seed=recipe.seed,
        num_steps=pool.num_steps,
        guidance_scale=pool.guidance_scale,
        guidance_channels=pool.guidance_channels,
        batch_size=pool.batch_size,
        score_images=_batch_scorer(scorer, classes) if scorer else None,
        guide=guide,
    )
    return _made(recipe, output, count, per_class)


def _load(recipe: Recipe, dit: str, revision: str | None) -> "tuple[DiTTransformer2DModel, Codec, PoolClasses]":
    """The DiT and its autoencoders, on their device and in their precision, and the classes to generate."""
    import torch

    from ddgs_hub.diffusion import cast_frozen, find_dit, fold_difffit, load_codec, load_dit, null_class

    dit, revision = named_revision(dit, revision)
    accelerator, folder = get_accelerator(), find_dit(dit, revision)
    classes = _pool_classes(recipe, folder, revision)
    model = fold_difffit(load_dit(folder, revision=revision)).requires_grad_(False).to(accelerator.device)
    classes.require_known(null_class(model), f"what {dit} is to generate")
    codec = load_codec(recipe.codec, folder, revision).to(accelerator.device)
    if accelerator.mixed_precision == "bf16":
        cast_frozen(model, torch.bfloat16)
        codec.lower_decoder(torch.bfloat16)
    return model, codec, classes


def _made(recipe: Recipe, output: Path, count: int, per_class: int) -> Made:
    """The number of images, and how they were generated."""
    pool = recipe.pool
    values = {"output": str(output), "images": count, "per_class": per_class, "seed": recipe.seed}
    values |= {"num_steps": pool.num_steps, "guidance_scale": pool.guidance_scale, "guide": pool.guide}
    how = f"{pool.num_steps} steps, guidance {pool.guidance_scale:g}"
    how += f", guided by {pool.guide}" if pool.guide != "none" else ""
    return Made(f"{count:,} images, {per_class} a class, {how}", values)


def _guiding_scorer(recipe: Recipe, given: str | Path | None) -> str | None:
    """The scorer that a guide asks: the one that was given, or that of the recipe, at its revision."""
    if given is not None:
        return str(given)
    score = recipe.score
    return f"{score.scorer}@{score.revision}" if score.scorer and score.revision else score.scorer


def _batch_scorer(scorer: str, classes: "PoolClasses") -> "BatchScorer":
    from ddgs_hub.difficulty import BatchScorer, Scorer

    return BatchScorer(Scorer.from_pretrained(scorer), classes.names, classes.wnids)


def _pool_classes(recipe: Recipe, dit: str, revision: str | None) -> "PoolClasses":
    """The classes to generate: those of the recipe's subset of ImageNet, or those that the DiT was trained on."""
    from ddgs_hub.diffusion import PoolClasses, read_adapter_config

    subset = SUBSETS.get(recipe.data.subset or "")
    if subset and recipe.model.label_space == "imagenet":
        return PoolClasses(list(subset.class_names), list(subset.wnids), list(subset.imagenet_indices))
    try:
        config = read_adapter_config(dit) if dit.endswith(".safetensors") else None
    except InputError as error:
        raise InputError(f"cannot load the adapter {dit}: {error}") from error
    return config.classes if config and config.classes else PoolClasses.read(dit, revision)
