"""Diffusion: a DiT behind its autoencoders, fine-tuned with DiffFit and the Minimax losses, and the pool it generates.

Takes original images as rows (`image`, `label`) and gives a fine-tuned DiT, as an adapter or a pipeline, and a pool of
generated rows. This room does not know how difficult an image is: to score the pool on the way, a caller passes a
function, and so it does to steer by difficulty. It does not know which images are selected from a pool, and it
publishes nothing.
"""

from ddgs_hub.diffusion.adapter import load_adapter, read_adapter_config, save_adapter
from ddgs_hub.diffusion.autoencoder import load_autoencoder, train_autoencoder
from ddgs_hub.diffusion.bases import base_path
from ddgs_hub.diffusion.codec import Codec, load_codec
from ddgs_hub.diffusion.ddpm import Schedule, diffusion_losses, sample_latents
from ddgs_hub.diffusion.denoiser import cast_frozen, denoise, embed_conditions
from ddgs_hub.diffusion.difffit import add_difffit, fold_difffit
from ddgs_hub.diffusion.difficulty_guidance import DifficultyGuide
from ddgs_hub.diffusion.dit import (
    base_of,
    base_size,
    convert_original_checkpoint,
    find_dit,
    load_dit,
    loaded_commit,
    new_dit,
    null_class,
    save_pipeline,
)
from ddgs_hub.diffusion.finetuning import finetune
from ddgs_hub.diffusion.generation import generate_pool, image_seed
from ddgs_hub.diffusion.guides import DenoisingStep, Guide, Shift
from ddgs_hub.diffusion.latents import LatentCache
from ddgs_hub.diffusion.minimax import MinimaxCriterion
from ddgs_hub.diffusion.mode_guidance import ModeGuide, find_modes
from ddgs_hub.diffusion.pixels import cropped_images, to_float
from ddgs_hub.diffusion.pool_classes import PoolClasses
from ddgs_hub.diffusion.pretraining import pretrain

__all__ = [
    "Codec",
    "DenoisingStep",
    "DifficultyGuide",
    "Guide",
    "LatentCache",
    "MinimaxCriterion",
    "ModeGuide",
    "PoolClasses",
    "Schedule",
    "Shift",
    "add_difffit",
    "base_of",
    "base_path",
    "base_size",
    "cast_frozen",
    "convert_original_checkpoint",
    "cropped_images",
    "denoise",
    "diffusion_losses",
    "embed_conditions",
    "find_dit",
    "find_modes",
    "finetune",
    "fold_difffit",
    "generate_pool",
    "image_seed",
    "load_adapter",
    "load_autoencoder",
    "load_codec",
    "load_dit",
    "loaded_commit",
    "new_dit",
    "null_class",
    "pretrain",
    "read_adapter_config",
    "sample_latents",
    "save_adapter",
    "save_pipeline",
    "to_float",
    "train_autoencoder",
]
