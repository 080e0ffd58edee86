"""Pre-training of a DiT from scratch with the plain diffusion loss: the base for data that is not ImageNet."""

import torch
from accelerate import Accelerator
from diffusers import DiTTransformer2DModel
from diffusers.training_utils import EMAModel

from ddgs_hub.core.processes import get_accelerator
from ddgs_hub.core.progress import Progress
from ddgs_hub.diffusion.ddpm import Schedule
from ddgs_hub.diffusion.denoiser import Denoiser
from ddgs_hub.diffusion.dit import new_dit, null_class
from ddgs_hub.diffusion.latents import BatchSource, LatentCache, diffusion_loss
from ddgs_hub.recipe import Pretraining


def pretrain(
    cache: LatentCache,
    num_classes: int,
    training: Pretraining,
    *,
    seed: int = 0,
    accelerator: Accelerator | None = None,
) -> tuple[DiTTransformer2DModel, list[float]]:
    """Trains all weights of a new DiT on the latents of a dataset (Eq. 1–2, with learned variance).

    Args:
        cache: latents and labels 0 … num_classes − 1.
        num_classes: classes of the DiT; its null class has the index `num_classes`.
        training: architecture and schedule.
        seed: decides the initial weights, the batches and the noise.
        accelerator: of the launch; None makes one.

    Returns:
        The model with its EMA weights, in eval mode, and the loss of every step.
    """
    accelerator = accelerator or get_accelerator()
    device, rank, world = accelerator.device, accelerator.process_index, accelerator.num_processes
    dit = _new_dit(cache, num_classes, training, seed)
    optimizer = torch.optim.AdamW(dit.parameters(), lr=training.learning_rate, weight_decay=0.0)
    learning_rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, training.learning_rate, total_steps=training.steps)
    model, optimizer = accelerator.prepare(Denoiser(dit), optimizer)
    ema = EMAModel(dit.parameters(), decay=training.ema_decay, foreach=True)  # with its warm-up
    batches = BatchSource.of(cache, training, null_class(dit), seed, device)
    schedule = Schedule.linear().to(device)
    losses = []
    progress = Progress("pretrain", training.steps, unit="step", images=batches.size)
    for step in progress.over(range(training.steps)):
        loss, _ = diffusion_loss(model, schedule, batches.draw(step).share(rank, world))
        optimizer.zero_grad()
        accelerator.backward(loss)
        optimizer.step()
        losses.append(loss.item())
        progress.add(diffusion=losses[-1], learning_rate=learning_rate.get_last_lr()[0])
        learning_rate.step()
        ema.step(dit.parameters())
    ema.copy_to(dit.parameters())
    return dit.eval(), losses


def _new_dit(cache: LatentCache, num_classes: int, training: Pretraining, seed: int) -> DiTTransformer2DModel:
    """A DiT of random weights for latents of the size that is in the cache."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return new_dit(
            num_attention_heads=training.num_heads,
            attention_head_dim=training.hidden_size // training.num_heads,
            num_layers=training.depth,
            in_channels=cache.mean.shape[2],
            sample_size=cache.mean.shape[-1],
            patch_size=training.patch_size,
            num_embeds_ada_norm=num_classes,
        )
