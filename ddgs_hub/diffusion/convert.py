"""Checkpoints of the original DiT and Minimax codes: reading the files, and naming their tensors as diffusers does."""

import math
import re
from pathlib import Path
from typing import Any

from diffusers import DiTTransformer2DModel
from safetensors.torch import load_file
from torch import Tensor

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.text import quoted
from ddgs_hub.core.weights import building_within, read_headers, read_pickle, shapes_of

HEADS = {384: 6, 768: 12, 1024: 16, 1152: 16}  # of the published sizes S, B, L and XL, by hidden size

# Original name → diffusers name. The condition embedders are the first block's: `tie_condition_embedders` shares them.
CONDITION_EMBEDDER = "transformer_blocks.0.norm1.emb"
_TOP_LEVEL = {
    "x_embedder.proj": "pos_embed.proj",
    "t_embedder.mlp.0": f"{CONDITION_EMBEDDER}.timestep_embedder.linear_1",
    "t_embedder.mlp.2": f"{CONDITION_EMBEDDER}.timestep_embedder.linear_2",
    "y_embedder.embedding_table": f"{CONDITION_EMBEDDER}.class_embedder.embedding_table",
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
_SHAPES_FROM = {  # the tensors that `infer_config` reads, and their numbers of dimensions
    "x_embedder.proj.weight": 4,
    "final_layer.linear.weight": 2,
    "pos_embed": 3,
    "y_embedder.embedding_table.weight": 2,
}
_QKV = ("attn1.to_q", "attn1.to_k", "attn1.to_v")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint file: tensors and plain values. Other objects are never unpickled.

    Raises:
        InputError: it holds other objects, is damaged, or is not a checkpoint.
    """
    if path.suffix != ".safetensors":
        return read_pickle(path)
    read_headers([path])
    return load_file(path)


def original_weights(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """The state dict in a checkpoint: its `ema`, else its `model`, else the checkpoint itself.

    Raises:
        InputError: these are not the weights of a DiT.
    """
    inner = (checkpoint.get(key) for key in ("ema", "model"))
    state_dict = next((part for part in inner if isinstance(part, dict)), checkpoint)
    weights = {name: value for name, value in state_dict.items() if isinstance(name, str) and isinstance(value, Tensor)}
    for name, dimensions in _SHAPES_FROM.items():
        if name not in weights:
            raise InputError(f"this is not a checkpoint of the original DiT: it has no tensor '{name}'")
        if weights[name].ndim != dimensions or weights[name].numel() == 0:
            shape = list(weights[name].shape)
            raise InputError(f"this is not a checkpoint of the original DiT: its tensor '{name}' has shape {shape}")
    return weights


def rename_original(name: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
    """The diffusers name and tensor of each part of an original tensor (qkv has three parts; pos_embed none)."""
    if name == "pos_embed":  # fixed sines and cosines, which diffusers computes
        return []
    block = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    if block is None:
        module, dot, kind = name.rpartition(".")
        return [(f"{_TOP_LEVEL.get(module, module)}{dot}{kind}", tensor)]
    prefix, inner = f"transformer_blocks.{block[1]}.", block[2]
    if inner in _GAMMAS:
        return [(prefix + _GAMMAS[inner], tensor)]
    if inner == "attn.gamma1":
        return [(f"{prefix}{to}.gamma", part) for to, part in zip(_QKV, _thirds(name, tensor), strict=True)]
    module, dot, kind = inner.rpartition(".")
    if module == "attn.qkv":
        return [(f"{prefix}{to}.{kind}", part) for to, part in zip(_QKV, _thirds(name, tensor), strict=True)]
    return [(f"{prefix}{_IN_BLOCK.get(module, module)}{dot}{kind}", tensor)]


def infer_config(state_dict: dict[str, Tensor], num_heads: int | None) -> dict[str, Any]:
    """The `DiTTransformer2DModel` configuration that fits the shapes of an original state dict.

    Raises:
        InputError: the heads are not known, or the model would be larger than the weights justify.
    """
    hidden, in_channels, patch, _ = state_dict["x_embedder.proj.weight"].shape
    heads = num_heads or HEADS.get(hidden)
    if heads is None:
        raise InputError(f"cannot infer the attention heads of a DiT of hidden size {hidden}: give num_heads")
    config = {
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
    if 0 in config.values():
        raise InputError("this is not a checkpoint of the original DiT: it has no layers, no classes or no channels")
    with building_within(shapes_of(state_dict), "its shape"):
        DiTTransformer2DModel(**config)
    return config


def _thirds(name: str, tensor: Tensor) -> tuple[Tensor, ...]:
    """The parts of an original tensor for queries, keys and values."""
    if tensor.ndim == 0 or len(tensor) == 0 or len(tensor) % 3:
        raise InputError(f"its tensor {quoted(name)} of shape {list(tensor.shape)} is none of queries, keys and values")
    return tensor.chunk(3)
