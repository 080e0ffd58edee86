"""A DiT and an autoencoder of the real classes at toy size, for tests of several rooms."""

import torch
from diffusers import AutoencoderKL, DiTTransformer2DModel

from ddgs_hub.diffusion.dit import new_dit


def tiny_dit(num_classes: int) -> DiTTransformer2DModel:
    """4 × 4 × 4 latents, two blocks of width 16, with weights that are not zero anywhere."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dit = new_dit(
            num_attention_heads=2,
            attention_head_dim=8,
            num_layers=2,
            in_channels=4,
            sample_size=4,
            num_embeds_ada_norm=num_classes,
        )
        for parameter in dit.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return dit.eval()


def tiny_autoencoder(scaling_factor: float = 0.18215) -> AutoencoderKL:
    """8 px images ↔ 4 × 4 × 4 latents, with weights drawn from torch's default generator."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        sample_size=8,
        scaling_factor=scaling_factor,
    )
