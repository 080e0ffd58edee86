"""Fine-tuning: DiffFit, the diffusion loss and the Minimax losses (Eq. 2–4), on the original images."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers import DiTTransformer2DModel
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from ddgs_hub.core.checkpoints import Checkpoints, Stateful
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.fingerprint import fingerprint
from ddgs_hub.core.processes import get_accelerator
from ddgs_hub.core.progress import Progress
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
    settings: FinetuneSettings,
    *,
    seed: int = 0,
    accelerator: Accelerator | None = None,
    checkpoints: str | Path | None = None,
) -> tuple[DiTTransformer2DModel, list[dict[str, float]]]:
    """Fine-tunes a DiT as Minimax Diffusion does; in place.

    Args:
        dit: the base, with tied condition embedders. Gammas that it has are folded, and new ones added. Under
            accelerate's mixed precision its frozen weights are left in bfloat16; `save_adapter`, and `load_adapter`
            onto the base, give all weights in float32.
        cache: latents and labels (the DiT's class indices) of the original images.
        settings: epochs, batch size, learning rate, EMA and the Minimax weights.
        seed: decides the batches and the noise.
        accelerator: of the launch; None makes one. N processes with a share of the batch each compute what one
            computes with the whole batch: the Minimax losses see the latents of all processes.
        checkpoints: a folder for this training alone. A killed call resumes from the last checkpoint in it, and ends
            with the weights of an unbroken one. Remove the folder when those are saved. None keeps no checkpoints.

    Returns:
        The model with the EMA of what was trained, in eval mode, gammas not folded; and every step's losses.

    Raises:
        InputError: the batch cannot be divided among the processes.
    """
    accelerator = accelerator or get_accelerator()
    if min(settings.batch_size, len(cache)) % accelerator.num_processes:
        processes = f"the {accelerator.num_processes} processes"
        raise InputError(f"finetune.batch_size {settings.batch_size} is not a multiple of {processes}")
    key = _key(dit, cache, settings, seed, accelerator) if checkpoints else ""
    add_difffit(fold_difffit(dit)).train()
    if accelerator.mixed_precision == "bf16":
        cast_frozen(dit, torch.bfloat16)
    training = _Training(dit, cache, settings, seed, accelerator)
    store = Checkpoints(checkpoints, key, training.state())
    done = store.restore()
    training.to_device()
    progress = Progress("finetune", training.steps, unit="step", done=done, images=training.batches.size)
    for step in progress.over(range(done, training.steps)):
        training.step(step)
        progress.add(**dict(zip(LOSSES, training.log[step], strict=True)), learning_rate=settings.learning_rate)
        if (step + 1) % settings.save_every == 0:
            store.save(step + 1)
    training.ema.copy_to(training.trained)
    return dit.eval(), [dict(zip(LOSSES, row, strict=True)) for row in training.log.tolist()]


class _Training:
    """Everything that changes during a fine-tuning, and the step that changes it.

    Args:
        dit: the model after `add_difffit`.
        cache: see `finetune`.
        settings: see `finetune`.
        seed: see `finetune`.
        accelerator: of the launch.
    """

    def __init__(
        self,
        dit: DiTTransformer2DModel,
        cache: LatentCache,
        settings: FinetuneSettings,
        seed: int,
        accelerator: Accelerator,
    ) -> None:
        self.accelerator = accelerator
        self.model: nn.Module = Denoiser(dit, gradient_checkpointing=settings.gradient_checkpointing)
        self.trained = list(trained_parameters(dit).values())
        self.optimizer: torch.optim.Optimizer = torch.optim.AdamW(
            self.trained, lr=settings.learning_rate, weight_decay=0.0
        )
        # Minimax has the same decay from the first step on: min_decay switches off diffusers' warm-up.
        decay = settings.ema_decay
        self.ema = EMAModel(self.trained, decay=decay, min_decay=decay, update_after_step=-1, foreach=True)
        self.criterion = MinimaxCriterion(
            settings.memory_size, settings.representativeness_weight, settings.diversity_weight
        )
        self.batches = BatchSource.of(cache, settings, null_class(dit), seed, accelerator.device)
        self.schedule = Schedule.linear().to(accelerator.device)
        self.steps = max(int(settings.epochs * self.batches.steps_per_epoch), 1)
        # The losses stay on the device until the end: reading one would wait for the device.
        log = cache.mean.new_zeros(self.steps, len(LOSSES), device=accelerator.device)
        self.log = nn.Parameter(log, requires_grad=False)

    def state(self) -> dict[str, Stateful]:
        """What a checkpoint holds."""
        tensors = nn.ParameterList([*self.trained, self.log])
        return {"tensors": tensors, "ema": self.ema, "optimizer": self.optimizer, "memories": self.criterion}

    def to_device(self) -> None:
        """Moves model, optimizer and EMA to the accelerator's device, after a checkpoint was restored on the CPU."""
        self.ema.to(self.accelerator.device)
        self.model, self.optimizer = self.accelerator.prepare(self.model, self.optimizer)

    def step(self, step: int) -> None:
        """One step of AdamW on the diffusion loss and the Minimax losses (Eq. 2–4), and of the EMA."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        batch = self.batches.draw(step)
        diffusion, z_hat = diffusion_loss(self.model, self.schedule, batch.share(rank, world))
        z_hat = gather_with_gradient(z_hat, self.accelerator.gather, rank)
        representativeness, diversity = self.criterion(z_hat, batch.z, batch.labels)
        # Each process has the gradient of its own rows of the Minimax losses; × world undoes the averaging.
        loss = diffusion + world * (representativeness + diversity)
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.optimizer.step()
        self.ema.step(self.trained)
        mean_diffusion = self.accelerator.reduce(diffusion.detach(), "mean")
        self.log[step] = torch.stack([mean_diffusion, representativeness, diversity]).detach()


def gather_with_gradient(tensor: Tensor, gather: Callable[[Tensor], Tensor], rank: int) -> Tensor:
    """The rows of all processes, in rank order; only the rows of this process keep their gradient."""
    rows = gather(tensor.detach())
    if len(rows) == len(tensor):
        return tensor
    start = rank * len(tensor)
    return torch.cat([rows[:start], tensor, rows[start + len(tensor) :]])


def _key(
    dit: DiTTransformer2DModel, cache: LatentCache, settings: FinetuneSettings, seed: int, accelerator: Accelerator
) -> str:
    """A fingerprint of what decides the weights. How often they are saved and how many processes work does not."""
    values = [asdict(replace(settings, save_every=1)), seed, accelerator.mixed_precision]
    return fingerprint(dit, cache.mean, cache.log_variance, cache.labels, values)
