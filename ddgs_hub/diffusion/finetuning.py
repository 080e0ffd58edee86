"""Fine-tuning: DiffFit, the diffusion loss and the Minimax losses (Eq. 2–4), on the original images."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers import DiTTransformer2DModel
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from tqdm.auto import tqdm

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.fingerprint import fingerprint
from ddgs_hub.core.processes import get_accelerator
from ddgs_hub.diffusion.checkpoints import Checkpoints
from ddgs_hub.diffusion.ddpm import Schedule
from ddgs_hub.diffusion.denoiser import Denoiser, cast_frozen
from ddgs_hub.diffusion.difffit import add_difffit, fold_difffit, trained_parameters
from ddgs_hub.diffusion.dit import null_class
from ddgs_hub.diffusion.latents import BatchSource, LatentCache, diffusion_loss
from ddgs_hub.diffusion.minimax import MinimaxCriterion
from ddgs_hub.recipe import FinetuneSettings

LOSSES = ("diffusion", "representativeness", "diversity")  # of every step, in the log


def finetune(
    dit: DiTTransformer2DModel,
    cache: LatentCache,
    recipe: FinetuneSettings,
    *,
    seed: int = 0,
    accelerator: Accelerator | None = None,
    checkpoints: str | Path | None = None,
) -> tuple[DiTTransformer2DModel, list[dict[str, float]]]:
    """Fine-tunes a DiT as Minimax Diffusion does; in place.

    Args:
        dit: the base, with tied condition embedders; gammas that it has are folded, and DiffFit's added. Under
            accelerate's mixed precision its frozen weights are left in bfloat16: `save_adapter`, and `load_adapter`
            onto the base, give all in float32.
        cache: latents and labels (the DiT's class indices) of the original images.
        recipe: epochs, batch size, learning rate, EMA and the Minimax weights.
        seed: decides the batches and the noise.
        accelerator: of the launch; None makes one. N processes with a share of the batch each compute what one
            computes with the whole: the Minimax losses see the latents of all.
        checkpoints: a folder of this training's own, so that a killed call goes on from the last checkpoint in it and
            ends with the weights of an unbroken one; remove it when those are kept. None keeps none.

    Returns:
        The model with the EMA of what was trained, in eval mode, gammas not folded; and every step's losses.

    Raises:
        InputError: the batch cannot be shared out among the processes.
    """
    accelerator = accelerator or get_accelerator()
    device, rank, world = accelerator.device, accelerator.process_index, accelerator.num_processes
    if min(recipe.batch_size, len(cache)) % world:
        raise InputError(f"finetune.batch_size {recipe.batch_size} is not a multiple of the {world} processes")
    key = _key(dit, cache, recipe, seed, accelerator) if checkpoints else ""
    add_difffit(fold_difffit(dit)).train()
    if accelerator.mixed_precision == "bf16":
        cast_frozen(dit, torch.bfloat16)
    trained = list(trained_parameters(dit).values())
    optimizer = torch.optim.AdamW(trained, lr=recipe.learning_rate, weight_decay=0.0)
    # The same decay from the first step on, as Minimax has it: min_decay switches off diffusers' warm-up.
    ema = EMAModel(trained, decay=recipe.ema_decay, min_decay=recipe.ema_decay, update_after_step=-1, foreach=True)
    criterion = MinimaxCriterion(recipe.memory_size, recipe.representativeness_weight, recipe.diversity_weight)
    batches = BatchSource.of(cache, recipe, null_class(dit), seed, device)
    steps = max(int(recipe.epochs * batches.steps_per_epoch), 1)
    # Fetched at the end: a look at a loss waits for the device.
    log = nn.Parameter(cache.mean.new_zeros(steps, len(LOSSES), device=device), requires_grad=False)
    changing = {"tensors": nn.ParameterList([*trained, log]), "ema": ema, "optimizer": optimizer, "memories": criterion}
    store = Checkpoints(checkpoints, key, changing)
    done = store.restore()
    ema.to(device)
    model = Denoiser(dit, gradient_checkpointing=recipe.gradient_checkpointing)
    model, optimizer = accelerator.prepare(model, optimizer)
    schedule = Schedule.linear().to(device)
    hidden = None if accelerator.is_main_process else True
    bar = tqdm(range(done, steps), "finetune", steps, unit="step", initial=done, leave=False, delay=2, disable=hidden)
    for step in bar:
        batch = batches.draw(step)
        diffusion, z_hat = diffusion_loss(model, schedule, batch.share(rank, world))
        z_hat = gather_with_gradient(z_hat, accelerator.gather, rank)
        representativeness, diversity = criterion(z_hat, batch.z, batch.labels)
        # Each process holds the gradient of its own rows of the Minimax losses; × world undoes the averaging.
        loss = diffusion + world * (representativeness + diversity)
        optimizer.zero_grad()
        accelerator.backward(loss)
        optimizer.step()
        ema.step(trained)
        log[step] = torch.stack(
            [accelerator.reduce(diffusion.detach(), "mean"), representativeness, diversity]
        ).detach()
        if (step + 1) % recipe.save_every == 0:
            store.save(step + 1)
    ema.copy_to(trained)
    return dit.eval(), [dict(zip(LOSSES, row, strict=True)) for row in log.tolist()]


def gather_with_gradient(tensor: Tensor, gather: Callable[[Tensor], Tensor], rank: int) -> Tensor:
    """All processes' rows in rank order; the rows of this process keep their gradient."""
    rows = gather(tensor.detach())
    if len(rows) == len(tensor):
        return tensor
    start = rank * len(tensor)
    return torch.cat([rows[:start], tensor, rows[start + len(tensor) :]])


def _key(
    dit: DiTTransformer2DModel, cache: LatentCache, recipe: FinetuneSettings, seed: int, accelerator: Accelerator
) -> str:
    """A fingerprint of what decides the weights: not how often they are saved, nor how many processes work."""
    settings = [asdict(replace(recipe, save_every=1)), seed, accelerator.mixed_precision]
    return fingerprint(dit, cache.mean, cache.log_variance, cache.labels, settings)
