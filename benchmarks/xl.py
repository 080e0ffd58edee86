"""The models of the paper's scale, with random weights: DiT-XL/2 for 256 px, and Stable Diffusion's autoencoder.

Weights do not change how long a model takes. They are drawn where they are used; facebook/DiT-XL-2-256 need not be at
hand.
"""

from dataclasses import dataclass
from typing import TypeVar

import torch
from diffusers import AutoencoderKL, DiTTransformer2DModel

from benchmarks.published import PlainDiT
from ddgs_hub.diffusion.dit import tie_condition_embedders

Model = TypeVar("Model", bound=torch.nn.Module)

NUM_CLASSES = 1000


@dataclass(frozen=True)
class Size:
    """Of the two models.

    Attributes:
        heads: of the transformer.
        head_width: its width is heads × head_width.
        depth: its blocks.
        gamma_blocks: blocks that DiffFit gives scales to.
        latents: `(C, h, w)`.
        image_size: px.
        widths: of the autoencoder's levels.
    """

    heads: int
    head_width: int
    depth: int
    gamma_blocks: int
    latents: tuple[int, int, int]
    image_size: int
    widths: tuple[int, int, int, int]


SIZES = {
    "xl": Size(16, 72, 28, 14, (4, 32, 32), 256, (128, 256, 512, 512)),
    "toy": Size(4, 16, 2, 1, (4, 8, 8), 64, (32, 32, 32, 32)),  # to try the benchmarks, not to measure with
}
LATENTS = SIZES["xl"].latents
IMAGE_SIZE = SIZES["xl"].image_size


def plain_dit(device: str, *, gammas: bool = False, size: str = "xl") -> PlainDiT:
    """DiT-XL/2, 675 M parameters, as the published code has it; `gammas`: with DiffFit's scales."""
    of, blocks = SIZES[size], SIZES[size].gamma_blocks if gammas else 0
    with torch.device(device):
        width = of.heads * of.head_width
        model = PlainDiT(width, of.depth, of.heads, NUM_CLASSES, of.latents[1], gamma_blocks=blocks)
    return _filled(model.to(device))  # its table of positions is made on the CPU


def dit(device: str, size: str = "xl") -> DiTTransformer2DModel:
    """DiT-XL/2 as `load_dit` gives it."""
    of = SIZES[size]
    shape = {
        "num_attention_heads": of.heads,
        "attention_head_dim": of.head_width,
        "sample_size": of.latents[1],
        "out_channels": 8,
    }
    with torch.device("meta"):  # diffusers' own initialisation takes a minute
        model = tie_condition_embedders(DiTTransformer2DModel(num_layers=of.depth, norm_eps=1e-6, **shape))
    with torch.device(device):
        positions = DiTTransformer2DModel(num_layers=0, **shape).pos_embed.pos_embed
    model.to_empty(device=device)
    model.pos_embed.pos_embed = positions.to(device)
    return _filled(model).eval()


def autoencoder(device: str, size: str = "xl") -> AutoencoderKL:
    """The architecture of stabilityai/sd-vae-ft-mse."""
    with torch.device(device):
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=SIZES[size].widths,
            layers_per_block=2,
            latent_channels=4,
            sample_size=SIZES[size].image_size,
        )
    return vae.eval().requires_grad_(False)


def _filled(model: Model) -> Model:
    for name, parameter in model.named_parameters():
        if name != "pos_embed":
            torch.nn.init.normal_(parameter, std=0.02)
    return model
