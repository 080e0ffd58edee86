"""Fine-tuning: DiffFit, the diffusion loss and the Minimax losses (Eq. 2–4), on the original images."""

from collections.abc import Callable

import torch
from accelerate import Accelerator
from diffusers import DiTTransformer2DModel
from diffusers.training_utils import EMAModel
from torch import Tensor
from tqdm.auto import tqdm

from ddgs_hub.diffusion.ddpm import Schedule, diffusion_losses
from ddgs_hub.diffusion.difffit import add_difffit, trained_parameters
from ddgs_hub.diffusion.dit import null_class
from ddgs_hub.diffusion.latents import BatchSource, LatentCache
from ddgs_hub.diffusion.minimax import MinimaxCriterion
from ddgs_hub.errors import InputError
from ddgs_hub.recipe import Finetune

LOSSES = ("diffusion", "representativeness", "diversity")  # of every step, in the log


def finetune(
    dit: DiTTransformer2DModel,
    cache: LatentCache,
    recipe: Finetune,
    *,
    seed: int = 0,
    accelerator: Accelerator | None = None,
) -> tuple[DiTTransformer2DModel, list[dict[str, float]]]:
    """Fine-tunes a DiT as Minimax Diffusion does; in place.

    Args:
        dit: the base, with tied condition embedders; DiffFit is added to it.
        cache: latents and labels (the DiT's class indices) of the original images.
        recipe: epochs, batch size, learning rate, EMA and the Minimax weights.
        seed: decides the batches and the noise.
        accelerator: of the launch; None makes one. N processes with a share of the batch each compute what one
            computes with the whole: the Minimax losses see the latents of all.

    Returns:
        The model with the EMA of what was trained, in eval mode, gammas not folded; and every step's losses.

    Raises:
        InputError: the batch cannot be shared out among the processes.
    """
    accelerator = accelerator or Accelerator()
    world = accelerator.num_processes
    if recipe.batch_size % world:
        raise InputError(f"finetune.batch_size {recipe.batch_size} is not a multiple of the {world} processes")
    add_difffit(dit).train()
    trained = list(trained_parameters(dit).values())
    optimizer = torch.optim.AdamW(trained, lr=recipe.learning_rate, weight_decay=0.0)
    model, optimizer = accelerator.prepare(dit, optimizer)
    # The same decay from the first step on, as Minimax has it: min_decay switches off diffusers' warm-up.
    ema = EMAModel(trained, decay=recipe.ema_decay, min_decay=recipe.ema_decay, update_after_step=-1, foreach=True)
    criterion = MinimaxCriterion(recipe.memory_size, recipe.representativeness_weight, recipe.diversity_weight)
    batches = BatchSource(
        cache=cache,
        batch_size=recipe.batch_size,
        label_dropout=recipe.label_dropout,
        null_class=null_class(dit),
        seed=seed,
        rank=accelerator.process_index,
        world=world,
    )
    schedule, gather, log = Schedule.linear(), accelerator.gather, []
    steps = max(int(recipe.epochs * batches.steps_per_epoch), 1)
    hidden = None if accelerator.is_main_process else True
    for step in tqdm(range(steps), desc="finetune", unit="step", leave=False, delay=2, disable=hidden):
        batch = batches.draw(step)
        z_t = schedule.add_noise(batch.z, batch.noise, batch.steps)
        output = model(z_t, batch.steps, batch.conditions, return_dict=False)[0]
        mse, bound, z_hat = diffusion_losses(schedule, output, batch.z, z_t, batch.noise, batch.steps)
        diffusion = (mse + bound).mean()
        z_hat = gather_with_gradient(z_hat, gather, accelerator.process_index)
        representativeness, diversity = criterion(z_hat, gather(batch.z), gather(batch.labels))
        # Each process holds the gradient of its own rows of the Minimax losses; × world undoes the averaging.
        loss = diffusion + world * (representativeness + diversity)
        optimizer.zero_grad()
        accelerator.backward(loss)
        optimizer.step()
        ema.step(trained)
        values = accelerator.reduce(diffusion.detach(), "mean"), representativeness, diversity
        log.append(dict(zip(LOSSES, (value.item() for value in values), strict=True)))
    ema.copy_to(trained)
    return dit.eval(), log


def gather_with_gradient(tensor: Tensor, gather: Callable[[Tensor], Tensor], rank: int) -> Tensor:
    """All processes' rows in rank order; the rows of this process keep their gradient."""
    rows = gather(tensor.detach())
    if len(rows) == len(tensor):
        return tensor
    start = rank * len(tensor)
    return torch.cat([rows[:start], tensor, rows[start + len(tensor) :]])
