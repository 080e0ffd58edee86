"""Checkpoints of the original DiT and Minimax codes: reading the files, and what their tensors are in diffusers."""

import math
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from ddgs_hub.errors import InputError

HEADS = {384: 6, 768: 12, 1024: 16, 1152: 16}  # of the published sizes S, B, L and XL, by hidden size

# Original name → diffusers name. The condition embedders are the first block's: `tie_condition_embedders` shares them.
_EMBEDDER = "transformer_blocks.0.norm1.emb"
_TOP_LEVEL = {
    "x_embedder.proj": "pos_embed.proj",
    "t_embedder.mlp.0": f"{_EMBEDDER}.timestep_embedder.linear_1",
    "t_embedder.mlp.2": f"{_EMBEDDER}.timestep_embedder.linear_2",
    "y_embedder.embedding_table": f"{_EMBEDDER}.class_embedder.embedding_table",
    "final_layer.adaLN_modulation.1": "proj_out_1",
    "final_layer.linear": "proj_out_2",
}
_IN_BLOCK = {
    "adaLN_modulation.1": "norm1.linear",
    "attn.proj": "attn1.to_out.0",
    "mlp.fc1": "ff.net.0.proj",
    "mlp.fc2": "ff.net.2",
}
_GAMMAS = {
    "attn.gamma2": "attn1.to_out.0.gamma",
    "gamma1": "attn1.to_out.0.branch_gamma",
    "gamma2": "ff.net.2.branch_gamma",
}
_QKV = ("attn1.to_q", "attn1.to_k", "attn1.to_v")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Tensors of a checkpoint file; objects in it are never unpickled."""
    if path.suffix == ".safetensors":
        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def rename_original(name: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
    """The diffusers name and tensor of each part of an original tensor (qkv has three parts; pos_embed none)."""
    if name == "pos_embed":  # fixed sines and cosines, which diffusers computes
        return []
    block = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    if block is None:
        module, kind = name.rsplit(".", 1)
        return [(f"{_TOP_LEVEL.get(module, module)}.{kind}", tensor)]
    prefix, inner = f"transformer_blocks.{block[1]}.", block[2]
    if inner in _GAMMAS:
        return [(prefix + _GAMMAS[inner], tensor)]
    if inner == "attn.gamma1":
        return [(f"{prefix}{to}.gamma", part) for to, part in zip(_QKV, tensor.chunk(3), strict=True)]
    module, kind = inner.rsplit(".", 1)
    if module == "attn.qkv":
        return [(f"{prefix}{to}.{kind}", part) for to, part in zip(_QKV, tensor.chunk(3), strict=True)]
    return [(f"{prefix}{_IN_BLOCK.get(module, module)}.{kind}", tensor)]


def infer_config(state_dict: dict[str, Tensor], num_heads: int | None) -> dict[str, Any]:
    """The `DiTTransformer2DModel` configuration that fits the shapes of an original state dict."""
    hidden, in_channels, patch, _ = state_dict["x_embedder.proj.weight"].shape
    heads = num_heads or HEADS.get(hidden)
    if heads is None:
        raise InputError(f"cannot infer the attention heads of a DiT of hidden size {hidden}: give num_heads")
    return {
        "num_attention_heads": heads,
        "attention_head_dim": hidden // heads,
        "in_channels": in_channels,
        "out_channels": state_dict["final_layer.linear.weight"].shape[0] // patch**2,
        "num_layers": len({name.split(".")[1] for name in state_dict if name.startswith("blocks.")}),
        "sample_size": math.isqrt(state_dict["pos_embed"].shape[1]) * patch,
        "patch_size": patch,
        "num_embeds_ada_norm": state_dict["y_embedder.embedding_table.weight"].shape[0] - 1,
        "norm_eps": 1e-6,
    }
