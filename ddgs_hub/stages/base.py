"""From original images to a DiT that was trained from scratch: the stage `pretrain`."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.made import Made
from ddgs_hub.core.processes import get_accelerator, wait_for_all
from ddgs_hub.core.rows import read_rows, require_columns
from ddgs_hub.core.staging import hidden_sibling, shared_sibling, staged_folder
from ddgs_hub.recipe import Recipe
from ddgs_hub.stages.run_folder import BASE_RECIPE, LATENTS, write_json, write_losses

if TYPE_CHECKING:
    from datasets import Dataset

    from ddgs_hub.diffusion import Codec


def make_base(recipe: Recipe, original: Path, output: Path) -> Made:
    """Trains the DiT, and its autoencoder unless a pretrained one is named.

    A killed call goes on from its last checkpoint, beside `output`.

    Raises:
        InputError: the recipe has no `model.pretraining`, or neither `codec.encoder` nor `codec.training`.
    """
    import torch

    from ddgs_hub.diffusion import LatentCache, PoolClasses, pretrain, save_pipeline

    training = recipe.model.pretraining
    if training is None:
        raise InputError(f"recipe {recipe.name} has no model.pretraining section: nothing says how to train a base")
    accelerator = get_accelerator()
    rows, data = read_rows(original), recipe.data
    require_columns(rows, "image", "label", where=str(original))
    classes = PoolClasses.of(rows, "dataset")
    checkpoints = hidden_sibling(output, "checkpoints")
    codec, autoencoder_losses = _make_codec(recipe, rows, checkpoints / "autoencoder")
    codec.to(accelerator.device)
    latents = shared_sibling(output, LATENTS)
    cache = LatentCache.encode(rows, codec, classes.dit_ids, latents, image_size=data.image_size, flip=data.flip)
    dit, losses = pretrain(
        cache,
        len(classes.names),
        training,
        seed=recipe.seed,
        accelerator=accelerator,
        checkpoints=checkpoints / "dit",
    )
    if accelerator.is_main_process:
        with staged_folder(output) as folder:
            # Small: half precision, and only the classes of the data. `finetune` writes the pipeline that is published.
            id2label, half = dict(enumerate(classes.names)), torch.float16
            dit, vae = torch.nn.Module.to(dit, "cpu", half), torch.nn.Module.to(codec.decoder, "cpu", half)
            save_pipeline(dit, vae, folder, id2label=id2label, num_classes=len(classes.names))
            classes.write(folder)
            write_losses(folder, {"autoencoder": autoencoder_losses, "pretraining": losses})
            made_with = {"seed": recipe.seed, "codec": asdict(recipe.codec), "pretraining": asdict(training)}
            write_json(folder / BASE_RECIPE, made_with)
        shutil.rmtree(checkpoints, ignore_errors=True)
    wait_for_all()
    last, parameters = float(np.mean(losses[-100:])), sum(p.numel() for p in dit.parameters())
    values = {"output": str(output), "steps": training.steps, "loss": last, "parameters": parameters}
    return Made(f"{training.steps:,} steps, loss {last:.3f}, {parameters:,} parameters", values)


def _make_codec(recipe: Recipe, rows: "Dataset", checkpoints: Path) -> tuple["Codec", list[float]]:
    """The pretrained autoencoders of the recipe, or one that is trained here, with its losses."""
    from ddgs_hub.diffusion import Codec, cropped_images, train_autoencoder

    if recipe.codec.encoder:
        return Codec.from_pretrained(recipe.codec.encoder, recipe.codec.decoder), []
    if recipe.codec.training is None:
        raise InputError(f"recipe {recipe.name} names no codec.encoder and has no codec.training section: give one")
    images = cropped_images(rows, recipe.data.image_size)
    vae, losses = train_autoencoder(
        images, recipe.codec.training, flip=recipe.data.flip, seed=recipe.seed, checkpoints=checkpoints
    )
    return Codec(vae), losses
