"""Image ↔ latent: the autoencoders that the DiT works behind, and the crop that comes before them."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import numpy as np
import torch
from datasets import Dataset
from diffusers import AutoencoderKL, AutoencoderTiny
from PIL import Image as PILImage
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from ddgs_hub.core.components import ComponentClass, load_component
from ddgs_hub.core.decoding import decode_image
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.hub_client import why_no_model
from ddgs_hub.core.model_files import UNREACHABLE, ModelFiles
from ddgs_hub.core.rows import undecoded
from ddgs_hub.core.schema import FOREIGN
from ddgs_hub.recipe import AutoencoderTraining

Autoencoder: TypeAlias = AutoencoderKL | AutoencoderTiny
LATENT_PIXELS_TOGETHER = 2**13  # that are decoded together: 8 images of 256 px, whose activations are gigabytes
DETERMINISTIC_LOG_VARIANCE = -30.0  # an autoencoder without a posterior: its latents have no spread

Channels = Annotated[int, Field(ge=1, le=4096)]
Layers = Annotated[int, Field(ge=0, le=64)]
Scale = Annotated[float, Field(gt=0, lt=1e6)]
Levels = Field(min_length=1, max_length=8)


class KLSettings(BaseModel):
    """What the configuration of an `AutoencoderKL` may say; the same as its arguments."""

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


class TinySettings(BaseModel):
    """What the configuration of an `AutoencoderTiny` may say; the same as its arguments."""

    model_config = FOREIGN
    in_channels: Literal[3] = 3
    out_channels: Literal[3] = 3
    encoder_block_out_channels: Annotated[list[Channels], Levels] = [64] * 4
    decoder_block_out_channels: Annotated[list[Channels], Levels] = [64] * 4
    num_encoder_blocks: Annotated[list[Layers], Levels] = [1, 3, 3, 3]
    num_decoder_blocks: Annotated[list[Layers], Levels] = [3, 3, 3, 1]
    act_fn: str = Field("relu", max_length=40)
    latent_channels: Channels = 4
    upsampling_scaling_factor: int = Field(2, ge=1, le=8)
    scaling_factor: Scale = 1.0


KINDS = {
    "AutoencoderKL": ComponentClass(AutoencoderKL, KLSettings),
    "AutoencoderTiny": ComponentClass(AutoencoderTiny, TinySettings),
}


class Codec:
    """Encodes images to latents in the DiT's scale, and decodes them.

    Args:
        encoder: the autoencoder whose latents the DiT is trained on.
        decoder: the one that makes images of generated latents (the reference uses another); None: the same.
    """

    def __init__(self, encoder: Autoencoder, decoder: Autoencoder | None = None) -> None:
        self.encoder = encoder.eval().requires_grad_(False)
        self.decoder = (decoder or encoder).eval().requires_grad_(False)

    @classmethod
    def from_pretrained(
        cls, encoder: str | Path, decoder: str | Path | None = None, *, revision: str | None = None
    ) -> "Codec":
        """Loads the pair from Hub ids or folders, each of an autoencoder or of a pipeline with a `vae`.

        Args:
            encoder: see the class.
            decoder: see the class.
            revision: of the encoder, where it is a Hub id.

        Raises:
            InputError: there is no autoencoder of that name.
        """
        return cls(load_autoencoder(encoder, revision), load_autoencoder(decoder) if decoder else None)

    def to(self, device: torch.device | str) -> "Codec":
        """Moves both autoencoders."""
        for autoencoder in (self.encoder, self.decoder):
            autoencoder.to(device, memory_format=torch.channels_last)
        return self

    def lower_decoder(self, dtype: torch.dtype) -> "Codec":
        """Has the decoder work in `dtype`, but for its last layer: bfloat16 has no more bits than a pixel; in place."""
        if isinstance(self.decoder, AutoencoderKL):
            nn.Module.to(self.decoder, dtype)
            last = nn.Module.to(self.decoder.decoder.conv_out, torch.float32)
            last.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
        return self

    def latent_shape(self, image_size: int) -> tuple[int, int, int]:
        """Channels, height and width of the latents of a square image."""
        config = self.encoder.config
        size = image_size // 2 ** (len(config.block_out_channels) - 1)  # each width after the first halves
        return config.latent_channels, size, size

    @torch.inference_mode()
    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The posterior of the latents of `images` (B, 3, H, W), −1 … 1.

        Returns:
            Mean and log-variance, each `(B, C, h, w)`, of the latents times the autoencoder's scaling factor.
        """
        scale = self.encoder.config.scaling_factor
        if isinstance(self.encoder, AutoencoderTiny):
            mean = self.encoder.encode(images).latents * scale
            return mean, torch.full_like(mean, DETERMINISTIC_LOG_VARIANCE)
        posterior = self.encoder.encode(images).latent_dist
        return posterior.mean * scale, posterior.logvar + 2 * float(np.log(scale))

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> np.ndarray:
        """Images of `latents` (B, C, h, w): uint8, `(B, H, W, 3)`."""
        latents = (latents / self.decoder.config.scaling_factor).to(next(self.decoder.parameters()).dtype)
        together = max(LATENT_PIXELS_TOGETHER // latents[0, 0].numel(), 1)
        images = torch.cat([self.decoder.decode(part).sample for part in latents.split(together)])
        return ((images + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()


def load_autoencoder(name_or_path: str | Path, revision: str | None = None) -> Autoencoder:
    """An autoencoder from a Hub id or folder, or the `vae` of a pipeline's folder or id.

    Args:
        name_or_path: where it is.
        revision: of a Hub id.

    Raises:
        InputError: there is none.
    """
    files = ModelFiles.of(name_or_path, revision)
    try:
        autoencoder, _ = load_component(files.within("vae") if _has_vae(files) else files, KINDS)
    except UNREACHABLE as error:
        reason = error if isinstance(error, InputError) else why_no_model(files.name, revision, error)
        raise InputError(f"cannot load an autoencoder from {files.name}: {reason}") from error
    return autoencoder


def _has_vae(files: ModelFiles) -> bool:
    """Whether an autoencoder is that of a pipeline."""
    try:
        return files.find("vae/config.json") is not None
    except UNREACHABLE:  # what loading it will say
        return False


def center_crop(image: PILImage.Image, size: int) -> PILImage.Image:
    """A square of `size` px from the middle of an image, as ADM and DiT crop (Dhariwal & Nichol 2021).

    Halved with a box filter while more than twice too large, then resized bicubically to `size` on the shorter side.
    """
    while min(image.size) >= 2 * size:
        image = image.resize((image.width // 2, image.height // 2), PILImage.Resampling.BOX)
    scale = size / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), PILImage.Resampling.BICUBIC)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))


def cropped_images(rows: Dataset, size: int) -> Tensor:
    """All images of a dataset, center-cropped: uint8, `(N, 3, size, size)`.

    Raises:
        InputError: an image cannot be decoded; the message names its row.
    """
    images = np.empty((len(rows), size, size, 3), dtype=np.uint8)
    cells = undecoded(rows.select_columns("image"))
    for row, cell in enumerate(tqdm(cells, desc="decode", unit="image", leave=False, delay=2, disable=None)):
        images[row] = np.asarray(center_crop(decode_image(cell["image"], row), size))
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def to_float(images: Tensor) -> Tensor:
    """uint8 images as float32, −1 … 1."""
    return images.float() / 127.5 - 1


def train_autoencoder(
    images: Tensor, training: AutoencoderTraining, *, flip: bool, seed: int = 0
) -> tuple[AutoencoderKL, list[float]]:
    """Trains an AutoencoderKL on images: mean squared error and a small KL to N(0, 1).

    Its `scaling_factor` makes the latents' standard deviation 1, as Stable Diffusion's 0.18215 does for its own.

    Args:
        images: uint8, `(N, 3, S, S)`.
        training: architecture and schedule.
        flip: whether a mirrored image is as good.
        seed: decides the initial weights and the batches.

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
    progress = tqdm(range(training.steps), desc="autoencoder", unit="step", leave=False, delay=2, disable=None)
    losses = []
    for step in progress:
        chosen = torch.randint(len(images), (training.batch_size,), generator=generator)
        batch = to_float(images[chosen]).to(device)
        if flip and torch.rand((), generator=generator) < 0.5:
            batch = batch.flip(-1)
        posterior = vae.encode(batch).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator).to(device)
        reconstruction = vae.decode(posterior.mean + posterior.std * noise).sample
        kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
        loss = F.mse_loss(reconstruction, batch) + training.kl_weight * kl
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % 20 == 0:
            progress.set_postfix(loss=f"{losses[-1]:.4f}")
    vae.eval()
    with torch.inference_mode():
        means = [vae.encode(to_float(part).to(device)).latent_dist.mean for part in images[:2048].split(256)]
    vae.register_to_config(scaling_factor=1 / torch.cat(means).std().item())
    return vae, losses


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
