"""Pre-training of a DiT from scratch with the plain diffusion loss: the base for data that is not ImageNet."""

from dataclasses import asdict, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers import DiTTransformer2DModel
from diffusers.training_utils import EMAModel
from torch import nn

from ddgs_hub.core.checkpoints import Checkpoints
from ddgs_hub.core.fingerprint import fingerprint
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
    checkpoints: str | Path | None = None,
) -> tuple[DiTTransformer2DModel, list[float]]:
    """Trains all weights of a new DiT on the latents of a dataset (Eq. 1–2, with learned variance).

    Args:
        cache: latents and labels 0 … num_classes − 1.
        num_classes: classes of the DiT; its null class has the index `num_classes`.
        training: architecture and schedule.
        seed: decides the initial weights, the batches and the noise.
        accelerator: of the launch; None makes one.
        checkpoints: a folder for this training alone. A killed call resumes from the last checkpoint in it, and ends
            with the weights of an unbroken one. Remove the folder when those are saved. None keeps no checkpoints.

    Returns:
        The model with its EMA weights, in eval mode, and the loss of every step.
    """
    accelerator = accelerator or get_accelerator()
    device, rank, world = accelerator.device, accelerator.process_index, accelerator.num_processes
    dit = _new_dit(cache, num_classes, training, seed)
    # The losses stay on the device until the end: reading one would wait for the device.
    log = nn.Parameter(torch.zeros(training.steps, device=device), requires_grad=False)
    raw_optimizer = torch.optim.AdamW(dit.parameters(), lr=training.learning_rate, weight_decay=0.0)
    learning_rate = torch.optim.lr_scheduler.OneCycleLR(
        raw_optimizer, training.learning_rate, total_steps=training.steps
    )
    ema = EMAModel(dit.parameters(), decay=training.ema_decay, foreach=True)  # with its warm-up
    tensors = nn.ParameterList([*dit.parameters(), log])
    parts = {"tensors": tensors, "ema": ema, "optimizer": raw_optimizer, "learning_rate": learning_rate}
    key = _key(cache, num_classes, training, seed, accelerator) if checkpoints else ""
    store = Checkpoints(checkpoints, key, parts)
    done = store.restore()
    ema.to(device)
    model, optimizer = accelerator.prepare(Denoiser(dit), raw_optimizer)
    batches = BatchSource.of(cache, training, null_class(dit), seed, device)
    schedule = Schedule.linear().to(device)
    progress = Progress("pretrain", training.steps, unit="step", done=done, images=batches.size)
    for step in progress.over(range(done, training.steps)):
        loss, _ = diffusion_loss(model, schedule, batches.draw(step).share(rank, world))
        optimizer.zero_grad()
        accelerator.backward(loss)
        optimizer.step()
        log[step] = loss.detach()
        progress.add(diffusion=log[step], learning_rate=learning_rate.get_last_lr()[0])
        learning_rate.step()
        ema.step(dit.parameters())
        if (step + 1) % training.save_every == 0:
            store.save(step + 1)
    ema.copy_to(dit.parameters())
    return dit.eval(), log.tolist()


def _key(cache: LatentCache, num_classes: int, training: Pretraining, seed: int, accelerator: Accelerator) -> str:
    """A fingerprint of what decides the weights. How often they are saved and how many processes work does not."""
    values = [num_classes, asdict(replace(training, save_every=1)), seed, accelerator.mixed_precision]
    return fingerprint(cache.mean, cache.log_variance, cache.labels, values)


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
