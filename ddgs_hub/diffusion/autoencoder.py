"""The autoencoders that the DiT works behind: loaded, or trained for images that no published one fits."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from diffusers import AutoencoderKL
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional as F

from ddgs_hub.core.checkpoints import Checkpoints, Stateful
from ddgs_hub.core.components import ComponentClass, load_component
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.file_names import VAE
from ddgs_hub.core.fingerprint import fingerprint
from ddgs_hub.core.hub_client import why_no_model
from ddgs_hub.core.model_files import UNREACHABLE, ModelFiles
from ddgs_hub.core.progress import Progress
from ddgs_hub.core.schema import FOREIGN
from ddgs_hub.diffusion.pixels import to_float
from ddgs_hub.recipe import AutoencoderTraining

Channels = Annotated[int, Field(ge=1, le=4096)]
Layers = Annotated[int, Field(ge=0, le=64)]
Scale = Annotated[float, Field(gt=0, lt=1e6)]
Levels = Field(min_length=1, max_length=8)


class KLSettings(BaseModel):
    """The configuration of an autoencoder: arguments of `AutoencoderKL`, with their ranges."""

    model_config = FOREIGN
    in_channels: Literal[3] = 3
    out_channels: Literal[3] = 3
    down_block_types: Annotated[list[Literal["DownEncoderBlock2D", "AttnDownEncoderBlock2D"]], Levels]
    up_block_types: Annotated[list[Literal["UpDecoderBlock2D", "AttnUpDecoderBlock2D"]], Levels]
    block_out_channels: Annotated[list[Channels], Levels]
    sample_size: Channels | list[Channels] = 32
    layers_per_block: Layers = 1
    act_fn: str = Field("silu", max_length=40)
    latent_channels: Channels = 4
    norm_num_groups: Channels = 32
    scaling_factor: Scale = 0.18215
    use_quant_conv: bool = True
    use_post_quant_conv: bool = True
    mid_block_add_attention: bool = True


KINDS = {"AutoencoderKL": ComponentClass(AutoencoderKL, KLSettings)}


def load_autoencoder(name_or_path: str | Path, revision: str | None = None) -> AutoencoderKL:
    """Loads an `AutoencoderKL` in float32 and eval mode.

    Args:
        name_or_path: Hub id or folder of an autoencoder, or of a pipeline with a `vae`.
        revision: of a Hub id.

    Raises:
        InputError: there is no autoencoder of that name, or it cannot be loaded.
    """
    files = ModelFiles.of(name_or_path, revision)
    try:
        autoencoder, _ = load_component(files.within(VAE) if _has_vae(files) else files, KINDS)
    except UNREACHABLE as error:
        reason = error if isinstance(error, InputError) else why_no_model(files.name, revision, error)
        raise InputError(f"cannot load an autoencoder from {files.name}: {reason}") from error
    return autoencoder


class _Draws:
    """The random generator of a training, as a part of its checkpoints."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def state_dict(self) -> dict[str, Any]:
        return {"state": self.generator.get_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.generator.set_state(state_dict["state"])


def train_autoencoder(
    images: Tensor,
    training: AutoencoderTraining,
    *,
    flip: bool,
    seed: int = 0,
    checkpoints: str | Path | None = None,
) -> tuple[AutoencoderKL, list[float]]:
    """Trains an autoencoder on images: mean squared error and a small KL to N(0, 1).

    Its `scaling_factor` gives the latents the standard deviation 1, as Stable Diffusion's 0.18215 does for its own.

    Args:
        images: uint8, `(N, 3, S, S)`.
        training: architecture and schedule.
        flip: whether half of the batches are mirrored.
        seed: decides the initial weights and the batches.
        checkpoints: a folder for this training alone. A killed call resumes from the last checkpoint in it, and ends
            with the weights of an unbroken one; one that has ended trains no more. None keeps no checkpoints.

    Returns:
        The autoencoder in eval mode, and the loss of every step.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vae = _new_autoencoder(images.shape[-1], training).to(device).train()
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=training.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, training.learning_rate, total_steps=training.steps)
    log = nn.Parameter(torch.zeros(training.steps, device=device), requires_grad=False)
    tensors = nn.ParameterList([*vae.parameters(), log])
    parts: dict[str, Stateful] = {
        "tensors": tensors,
        "optimizer": optimizer,
        "schedule": schedule,
        "draws": _Draws(generator),
    }
    values = [asdict(replace(training, save_every=1)), flip, seed]
    store = Checkpoints(checkpoints, fingerprint(images, values) if checkpoints else "", parts)
    done = store.restore()
    progress = Progress("autoencoder", training.steps, unit="step", done=done, images=training.batch_size)
    for step in progress.over(range(done, training.steps)):
        loss = _loss(vae, _draw(images, training.batch_size, flip, generator).to(device), training.kl_weight, generator)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        log[step] = loss.detach()
        progress.add(loss=log[step], learning_rate=schedule.get_last_lr()[0])
        schedule.step()
        if (step + 1) % training.save_every == 0 or step + 1 == training.steps:
            store.save(step + 1)
    vae.eval()
    with torch.inference_mode():
        means = [vae.encode(to_float(part).to(device)).latent_dist.mean for part in images[:2048].split(256)]
    vae.register_to_config(scaling_factor=1 / torch.cat(means).std().item())
    return vae, log.tolist()


def _draw(images: Tensor, batch_size: int, flip: bool, generator: torch.Generator) -> Tensor:
    """A batch of random images, float32 in −1 … 1; half of the batches are mirrored if `flip`."""
    batch = to_float(images[torch.randint(len(images), (batch_size,), generator=generator)])
    return batch.flip(-1) if flip and torch.rand((), generator=generator) < 0.5 else batch


def _loss(vae: AutoencoderKL, batch: Tensor, kl_weight: float, generator: torch.Generator) -> Tensor:
    """Mean squared error of the reconstruction + `kl_weight` · mean KL(q(z | x) ‖ N(0, 1)), a scalar."""
    posterior = vae.encode(batch).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=generator).to(batch.device)
    reconstruction = vae.decode(posterior.mean + posterior.std * noise).sample
    kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
    return F.mse_loss(reconstruction, batch) + kl_weight * kl


def _new_autoencoder(image_size: int, training: AutoencoderTraining) -> AutoencoderKL:
    levels = len(training.block_out_channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=tuple(training.block_out_channels),
        layers_per_block=training.layers_per_block,
        latent_channels=training.latent_channels,
        norm_num_groups=training.norm_groups,
        sample_size=image_size,
        mid_block_add_attention=False,
    )


def _has_vae(files: ModelFiles) -> bool:
    """Whether the files are those of a pipeline with a `vae`."""
    try:
        return files.find("vae/config.json") is not None
    except UNREACHABLE:  # loading it will raise the error
        return False
