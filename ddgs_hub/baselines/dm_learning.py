"""The images of DM: step after step of `dm`, from random real images."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn

from ddgs_hub.baselines.dm import dm_step
from ddgs_hub.baselines.learnt import Learning, Renewed, at_rest, require_precision
from ddgs_hub.baselines.real_images import RealImages
from ddgs_hub.baselines.shares import Shares
from ddgs_hub.baselines.siamese import Draws, draw_one
from ddgs_hub.baselines.streams import Purpose, generator_of, seed_of, without_repetition
from ddgs_hub.core.checkpoints import Checkpoints
from ddgs_hub.core.fingerprint import fingerprint
from ddgs_hub.core.processes import compiled, get_accelerator
from ddgs_hub.core.progress import Progress
from ddgs_hub.recipe import DMSettings


def learn_dm(
    real: RealImages,
    settings: DMSettings,
    build_embedding: Callable[[int], nn.Module],
    *,
    ipc: int,
    seed: int = 0,
    accelerator: Accelerator | None = None,
    checkpoints: str | Path | None = None,
) -> tuple[torch.Tensor, list[float]]:
    """Learns images by distribution matching; they start as random real ones.

    Args:
        real: the original images, on the accelerator's device.
        settings: steps, batch, learning rate and augmentation.
        build_embedding: a seed → ψ with fresh weights, on the CPU: a module from normalised images `(N, 3, S, S)` to
            embeddings `(N, D)`. Each step has its own.
        ipc: images per class.
        seed: (seed, t) decides what step t draws.
        accelerator: of the launch; None makes one. Its processes share out the classes and compute what one would.
        checkpoints: a folder for this learning alone. A killed call resumes from the last checkpoint in it, and ends
            with the same images. Remove the folder when those are saved. None keeps no checkpoints.

    Returns:
        Images in [0, 1], clipped, float32 `(C, ipc, 3, S, S)` on the CPU; and the loss of every step, a mean over the
        classes.

    Raises:
        InputError: a class has fewer than `ipc` images, or images cannot be learnt in the launch's precision.
    """
    accelerator = accelerator or get_accelerator()
    require_precision(accelerator)
    real.require(ipc)
    learning = Learning(at_rest(_start(real, ipc, seed)), settings.steps)
    psi, shares = Renewed(build_embedding, real.images.device), Shares.of(accelerator)
    embed = compiled(psi.network)
    values = [asdict(replace(settings, save_every=0)), ipc, seed, accelerator.mixed_precision]
    key = fingerprint(psi.network, real.images, real.labels, real.mean, real.std, values) if checkpoints else ""
    store = Checkpoints(checkpoints, key, {"learning": learning})
    done = store.restore()
    progress = Progress("DM", settings.steps, unit="step", done=done, images=len(real.sizes) * settings.batch_real)
    for step in progress.over(range(done, settings.steps)):
        psi.renew(seed_of(seed, Purpose.NETWORK, step))
        batches, draws = _drawn(real, settings, seed, step, shares)
        with accelerator.autocast():
            learning.learnt, loss = dm_step(embed, learning.learnt, batches, draws, settings, shares)
        learning.log[step] = loss / len(real.sizes)
        progress.add(loss=learning.log[step])
        store.save_when_due(step + 1, settings.save_every)
    return real.unnormalize(learning.learnt.images).clamp(0, 1).cpu(), learning.log.tolist()


def _start(real: RealImages, ipc: int, seed: int) -> torch.Tensor:
    """Random images of each class, none twice, normalised: `(C, ipc, 3, S, S)`."""
    rows = [
        real.first_row(label) + without_repetition(size, ipc, seed, Purpose.START, label)
        for label, size in enumerate(real.sizes)
    ]
    return torch.stack([real.normalized(own) for own in rows])


def _drawn(
    real: RealImages, settings: DMSettings, seed: int, step: int, shares: Shares
) -> tuple[list[torch.Tensor | None], list[Draws]]:
    """The real batch of each class, None for those of other processes, and the augmentation of each class."""
    batches: list[torch.Tensor | None] = []
    draws, side = [], real.image_size
    for label, size in enumerate(real.sizes):
        draws.append(draw_one(settings.strategy, side, side, generator_of(seed, Purpose.VIEW, step, label)))
        if label % shares.world != shares.rank:
            batches.append(None)
            continue
        rows = without_repetition(size, settings.batch_real, seed, Purpose.REAL, step, label)
        batches.append(real.normalized(real.first_row(label) + rows))
    return batches, draws
