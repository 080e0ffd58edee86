"""Diffusion: the DiT, its fine-tuning with DiffFit and the Minimax losses, and the generation of the pool."""

from ddgs_hub.diffusion.adapter import load_adapter, read_adapter_config, save_adapter
from ddgs_hub.diffusion.classes import PoolClasses
from ddgs_hub.diffusion.ddpm import Schedule, diffusion_losses, sample_latents
from ddgs_hub.diffusion.denoiser import cast_frozen, denoise, embed_conditions
from ddgs_hub.diffusion.difffit import add_difffit, fold_difffit
from ddgs_hub.diffusion.dit import (
    base_of,
    convert_original_checkpoint,
    find_dit,
    load_dit,
    loaded_commit,
    null_class,
    save_pipeline,
)
from ddgs_hub.diffusion.finetune import finetune
from ddgs_hub.diffusion.generate import generate_pool, image_seed
from ddgs_hub.diffusion.latents import LatentCache
from ddgs_hub.diffusion.minimax import MinimaxCriterion
from ddgs_hub.diffusion.pretrain import pretrain

__all__ = [
    "LatentCache",
    "MinimaxCriterion",
    "PoolClasses",
    "Schedule",
    "add_difffit",
    "base_of",
    "cast_frozen",
    "convert_original_checkpoint",
    "denoise",
    "diffusion_losses",
    "embed_conditions",
    "find_dit",
    "finetune",
    "fold_difffit",
    "generate_pool",
    "image_seed",
    "load_adapter",
    "load_dit",
    "loaded_commit",
    "null_class",
    "pretrain",
    "read_adapter_config",
    "sample_latents",
    "save_adapter",
    "save_pipeline",
]
