"""The DiT's forward pass over diffusers' modules, without repeated computations.

diffusers embeds (timestep, class) again in every block, 29 times a pass. Here it is embedded once. Images of a batch
with the same timestep and class also share the modulations (adaLN). Weights and outputs are the same, up to rounding.
"""

from contextlib import AbstractContextManager

import torch
from diffusers import DiTTransformer2DModel
from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ddgs_hub.diffusion.dit import condition_embedder


class Denoiser(nn.Module):
    """A DiT as a module for training: embeds the conditions once and denoises.

    Args:
        dit: with tied condition embedders; its parameters are this module's.
        gradient_checkpointing: whether to keep only the input of each block, and to compute the block again in the
            backward pass: less memory, about a third more time.
    """

    def __init__(self, dit: DiTTransformer2DModel, *, gradient_checkpointing: bool = False) -> None:
        super().__init__()
        self.dit = dit
        self.gradient_checkpointing = gradient_checkpointing

    def forward(self, z: Tensor, timesteps: Tensor, labels: Tensor) -> Tensor:
        """Predicted noise and variance `(B, 2C, h, w)` of latents `(B, C, h, w)` at timesteps and classes `(B,)`."""
        conditions = embed_conditions(self.dit, timesteps, labels)
        return denoise(self.dit, z, conditions, gradient_checkpointing=self.gradient_checkpointing)


def embed_conditions(dit: DiTTransformer2DModel, timesteps: Tensor, labels: Tensor) -> Tensor:
    """The condition of every block: SiLU of the embedding of (timestep, class), `(B,)` each → `(B, D)`."""
    embedder = condition_embedder(dit)
    with _full_precision(labels):
        dtype = embedder.timestep_embedder.linear_1.weight.dtype
        return F.silu(embedder(timesteps, labels, hidden_dtype=dtype))


def denoise(
    dit: DiTTransformer2DModel,
    z: Tensor,
    conditions: Tensor,
    rows: Tensor | None = None,
    *,
    gradient_checkpointing: bool = False,
) -> Tensor:
    """Predicted noise and variance of noisy latents.

    Under autocast the residual stream stays in the type of `z`. Otherwise the blocks work in the type of their weights
    (see `cast_frozen`). The first and the last layer cost little, and always work in the type of `z`.

    Args:
        dit: the model, with tied condition embedders.
        z: noisy latents, `(B, C, h, w)`.
        conditions: of `embed_conditions`, `(K, D)`, every one different.
        rows: the index of each image's condition, `(B,)`; None: image k has condition k.
        gradient_checkpointing: see `Denoiser`.

    Returns:
        `(B, 2C, h, w)`, in the type of `z`.
    """
    with _full_precision(z):
        x = dit.pos_embed(z)
        modulation = _share(dit.proj_out_1(conditions), rows)
    if not torch.is_autocast_enabled(z.device.type):
        dtype = dit.transformer_blocks[0].attn1.to_q.weight.dtype
        x, conditions = x.to(dtype), conditions.to(dtype)
    for block in dit.transformer_blocks:
        if gradient_checkpointing:
            x = checkpoint(_block, block, x, conditions, rows, use_reentrant=False)
        else:
            x = _block(block, x, conditions, rows)
    with _full_precision(z):
        shift, scale = modulation.chunk(2, dim=2)
        x = dit.proj_out_2(torch.addcmul(shift, dit.norm_out(x.to(z.dtype)), 1 + scale))
    size, patch = z.shape[-1] // dit.config.patch_size, dit.config.patch_size
    x = x.unflatten(1, (-1, size)).unflatten(3, (patch, patch, -1))  # (B, h/p, w/p, p, p, 2C)
    return x.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


def cast_frozen(dit: DiTTransformer2DModel, dtype: torch.dtype) -> DiTTransformer2DModel:
    """Casts the blocks' tensors that are not trained; in place.

    These are nearly all weights, and so most of the memory. The condition embedder, the first and the last layer, and
    everything that is trained keep their type.
    """
    for block in dit.transformer_blocks:
        for module in (block.norm1.linear, block.attn1, block.ff):
            for parameter in module.parameters():
                if not parameter.requires_grad:
                    parameter.data = parameter.data.to(dtype)
    return dit


def _block(block: BasicTransformerBlock, x: Tensor, conditions: Tensor, rows: Tensor | None) -> Tensor:
    """One transformer block (adaLN-Zero): tokens `(B, T, D)` → `(B, T, D)`."""
    modulation = _share(block.norm1.linear(conditions), rows)
    shift_attention, scale_attention, gate_attention, shift_mlp, scale_mlp, gate_mlp = modulation.chunk(6, dim=2)
    # Under autocast this has fewer bits than x: it is kept for the backward pass.
    normed = block.norm1.norm(x).to(modulation)
    x = x + gate_attention * block.attn1(shift_attention + normed * (1 + scale_attention))
    normed = block.norm3(x).to(modulation)
    return x + gate_mlp * block.ff(shift_mlp + normed * (1 + scale_mlp))


def _share(modulation: Tensor, rows: Tensor | None) -> Tensor:
    """Modulations `(K, M)` as `(B, 1, M)`: each image's own, the same for all of its tokens."""
    return (modulation if rows is None else modulation[rows])[:, None]


def _full_precision(like: Tensor) -> AbstractContextManager[None]:
    return torch.autocast(like.device.type, enabled=False)
