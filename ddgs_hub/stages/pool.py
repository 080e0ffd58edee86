"""From a DiT to a pool of generated images: the stage `generate`."""

from pathlib import Path
from typing import TYPE_CHECKING

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.made import Made
from ddgs_hub.core.processes import get_accelerator
from ddgs_hub.core.revisions import named_revision
from ddgs_hub.original import SUBSETS
from ddgs_hub.recipe import Recipe

if TYPE_CHECKING:
    from ddgs_hub.difficulty import BatchScorer
    from ddgs_hub.diffusion import PoolClasses


def make_pool(
    recipe: Recipe,
    dit: str | Path,
    output: Path,
    *,
    per_class: int,
    revision: str | None = None,
    scorer: str | None = None,
) -> Made:
    """Generates images; with a scorer, scores each batch as soon as it is decoded.

    Args:
        recipe: `pool` says how, `data.subset` which classes.
        dit: a Hub id, the name of a shipped base, a folder, an adapter or a checkpoint.
        output: folder of the pool.
        per_class: images a class.
        revision: of a DiT on the Hub.
        scorer: a Hub id or a folder.

    Returns:
        The number of images, and how they were generated.

    Raises:
        InputError: the DiT, its autoencoder or the scorer cannot be loaded, or does not know a class.
    """
    import torch

    from ddgs_hub.diffusion import cast_frozen, find_dit, fold_difffit, generate_pool, load_codec, load_dit, null_class

    dit, revision = named_revision(str(dit), revision)
    accelerator, pool, folder = get_accelerator(), recipe.pool, find_dit(dit, revision)
    classes = _pool_classes(recipe, folder, revision)
    model = fold_difffit(load_dit(folder, revision=revision)).requires_grad_(False).to(accelerator.device)
    classes.require_known(null_class(model), f"what {dit} is to generate")
    codec = load_codec(recipe.codec, folder, revision).to(accelerator.device)
    if accelerator.mixed_precision == "bf16":
        cast_frozen(model, torch.bfloat16)
        codec.lower_decoder(torch.bfloat16)
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
    )
    values = {"output": str(output), "images": count, "per_class": per_class, "seed": recipe.seed}
    values |= {"num_steps": pool.num_steps, "guidance_scale": pool.guidance_scale}
    how = f"{pool.num_steps} steps, guidance {pool.guidance_scale:g}"
    return Made(f"{count:,} images, {per_class} a class, {how}", values)


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
