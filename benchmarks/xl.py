"""The models of the paper's scale, with random weights: DiT-XL/2 for 256 px, and Stable Diffusion's autoencoder.

Weights do not change how long a model takes. They are drawn where they are used; facebook/DiT-XL-2-256 need not be at
hand.
"""

from typing import TypeVar

import torch
from diffusers import AutoencoderKL, DiTTransformer2DModel

from benchmarks.published import PlainDiT
from ddgs_hub.diffusion.dit import tie_condition_embedders

Model = TypeVar("Model", bound=torch.nn.Module)

LATENTS = (4, 32, 32)
IMAGE_SIZE = 256  # px
NUM_CLASSES = 1000


def plain_dit(device: str, gamma_blocks: int = 0) -> PlainDiT:
    """DiT-XL/2, 675 M parameters, as the published code has it."""
    with torch.device(device):
        model = PlainDiT(1152, 28, 16, NUM_CLASSES, LATENTS[1], gamma_blocks=gamma_blocks)
    return _filled(model.to(device))  # its table of positions is made on the CPU


def dit(device: str) -> DiTTransformer2DModel:
    """DiT-XL/2 as `load_dit` gives it."""
    with torch.device("meta"):  # diffusers' own initialisation takes a minute
        model = tie_condition_embedders(DiTTransformer2DModel(out_channels=8, norm_eps=1e-6))
    with torch.device(device):
        positions = DiTTransformer2DModel(num_layers=0, out_channels=8).pos_embed.pos_embed
    model.to_empty(device=device)
    model.pos_embed.pos_embed = positions.to(device)
    return _filled(model).eval()


def autoencoder(device: str) -> AutoencoderKL:
    """The architecture of stabilityai/sd-vae-ft-mse."""
    with torch.device(device):
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            latent_channels=4,
            sample_size=IMAGE_SIZE,
        )
    return vae.eval().requires_grad_(False)


def _filled(model: Model) -> Model:
    for name, parameter in model.named_parameters():
        if name != "pos_embed":
            torch.nn.init.normal_(parameter, std=0.02)
    return model
