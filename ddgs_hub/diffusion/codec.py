"""Image ↔ latent: the pair of autoencoders around the DiT."""

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from ddgs_hub.diffusion.autoencoder import load_autoencoder
from ddgs_hub.diffusion.dit import base_of
from ddgs_hub.recipe import CodecSettings

LATENT_PIXELS_TOGETHER = 2**13  # decoded at once: 8 images of 256 px, whose activations take gigabytes


class Codec:
    """Encodes images to latents in the DiT's scale, and decodes them.

    Args:
        encoder: the autoencoder whose latents the DiT is trained on.
        decoder: the autoencoder that decodes generated latents; None: the same. The reference uses another.
    """

    def __init__(self, encoder: AutoencoderKL, decoder: AutoencoderKL | None = None) -> None:
        self.encoder = encoder.eval().requires_grad_(False)
        self.decoder = (decoder or encoder).eval().requires_grad_(False)

    @classmethod
    def from_pretrained(
        cls, encoder: str | Path, decoder: str | Path | None = None, *, revision: str | None = None
    ) -> "Codec":
        """Loads the pair with `load_autoencoder`.

        Args:
            encoder: Hub id or folder of an autoencoder, or of a pipeline with a `vae`.
            decoder: likewise; None: the encoder's autoencoder decodes as well.
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
        """Casts the decoder to `dtype`, except its last layer; in place.

        The last layer makes the pixels, and bfloat16 has no more bits than a pixel. An encoder that is of the same
        autoencoder remains as it is: a guide finds modes in what it encodes.
        """
        for part in (self.decoder.decoder, self.decoder.post_quant_conv):
            if part is not None:
                nn.Module.to(part, dtype)
        last = nn.Module.to(self.decoder.decoder.conv_out, torch.float32)
        last.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
        return self

    def latent_shape(self, image_size: int) -> tuple[int, int, int]:
        """Channels, height and width of the latents of a square image."""
        config = self.encoder.config
        size = image_size // 2 ** (len(config.block_out_channels) - 1)  # each level after the first halves the size
        return config.latent_channels, size, size

    @torch.inference_mode()
    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The posterior of the latents of `images` (B, 3, H, W), −1 … 1.

        Returns:
            Mean and log-variance, each `(B, C, h, w)`, of the latents times the autoencoder's scaling factor.
        """
        scale = self.encoder.config.scaling_factor
        posterior = self.encoder.encode(images).latent_dist
        return posterior.mean * scale, posterior.logvar + 2 * float(np.log(scale))

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> np.ndarray:
        """Images of `latents` (B, C, h, w): uint8, `(B, H, W, 3)`."""
        images = torch.cat([self.pixels(part) for part in latents.split(self.decoded_together(latents))])
        return ((images + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()

    def pixels(self, latents: Tensor) -> Tensor:
        """Images of `latents` (B, C, h, w), about −1 … 1, `(B, 3, H, W)`; at once, and differentiable."""
        latents = (latents / self.decoder.config.scaling_factor).to(next(self.decoder.decoder.parameters()).dtype)
        return self.decoder.decode(latents).sample

    def decoded_together(self, latents: Tensor) -> int:
        """How many of these latents are decoded at once."""
        return max(LATENT_PIXELS_TOGETHER // latents[0, 0].numel(), 1)


def load_codec(settings: CodecSettings, dit: str | Path, revision: str | None = None) -> Codec:
    """The autoencoders that the settings name, or that of the DiT's own pipeline, or that of an adapter's base.

    Args:
        settings: the recipe's section.
        dit: a Hub id, a folder, or an adapter's file; see `find_dit`.
        revision: of a DiT on the Hub.

    Raises:
        InputError: there is no autoencoder where one is named.
    """
    if settings.encoder:
        return Codec.from_pretrained(settings.encoder, settings.decoder)
    adapters, base, base_revision = base_of(dit)
    return Codec.from_pretrained(base, revision=base_revision if adapters else revision)
