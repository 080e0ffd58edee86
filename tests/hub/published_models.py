"""Small folders of models to publish, made by the real code: a DiT with its pipeline and adapter, and a scorer."""

import copy
import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DiTTransformer2DModel

from ddgs_hub.diffusion import PoolClasses, add_difffit, load_adapter, save_adapter, save_pipeline
from ddgs_hub.diffusion.dit import new_dit
from ddgs_hub.hub import CONTENT, DIT, KIND, hash_weights, write_dit
from ddgs_hub.recipe import parse_recipe, recipe_to_dict

BASE = "acme/tiny-base"
CLASSES = PoolClasses(names=["zero", "one"], wnids=[None, None], dit_ids=[0, 1])
RECIPE = {
    "name": "tiny",
    "data": {"original": "acme/tiny", "image_size": 8},
    "model": {"base": BASE, "label_space": "dataset"},
    "codec": {"encoder": None, "decoder": None, "training": {"block_out_channels": [8, 8]}},
    "pool": {"num_steps": 2, "size": 1, "batch_size": 4},
    "sample": {"ipc": 1},
    "hub": {"dataset": "tiny-ddgs-ipc{ipc}", "pretty_name": "Tiny"},
}


def tiny_base() -> DiTTransformer2DModel:
    """Two classes, 4 × 4 × 4 latents, two blocks of width 16, with weights that are not zero anywhere."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dit = new_dit(
            num_attention_heads=2,
            attention_head_dim=8,
            num_layers=2,
            in_channels=4,
            sample_size=4,
            num_embeds_ada_norm=2,
        )
        for parameter in dit.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return dit.eval()


def tiny_autoencoder() -> AutoencoderKL:
    """8 px images, latents of 4 px."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(8, 8),
            norm_num_groups=4,
            sample_size=8,
        ).eval()


def save_base(folder: Path) -> Path:
    """The base as a pipeline of as many classes as it has."""
    save_pipeline(tiny_base(), tiny_autoencoder(), folder, id2label={0: "zero", 1: "one"}, num_classes=2)
    return folder


def save_dit(folder: Path, seed: int, note: str = "") -> Path:
    """A fine-tuned DiT in the files of `finetune`, other weights for each seed."""
    tuned = add_difffit(tiny_base())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    folder.mkdir(parents=True, exist_ok=True)
    adapter = folder / "adapter.safetensors"
    save_adapter(tuned, adapter, classes=CLASSES, base_model=BASE)
    whole = load_adapter(tiny_base(), adapter)
    save_pipeline(whole, tiny_autoencoder(), folder, id2label={0: "zero", 1: "one"}, num_classes=2)
    CLASSES.write(folder)
    describe(folder, note)
    return folder


def describe(folder: Path, note: str = "") -> None:
    """Card and provenance, as `ddgs_hub.models` writes them."""
    values = copy.deepcopy(RECIPE)
    values["hub"]["note"] = note  # type: ignore[index]
    provenance = {
        KIND: DIT.name,
        "recipe": recipe_to_dict(parse_recipe(values)),
        "versions": {"ddgs-hub": "0.1.0"},
        "base_model": BASE,
        "license": {"license": "apache-2.0"},
        "datasets": ["acme/tiny"],
        "steps": 3,
        "command": "ddgs-hub finetune --recipe tiny.yaml --original original --output dit",
        CONTENT: {"weights": hash_weights(folder), "base": f"{BASE}@", "original": "0"},
    }
    write_dit(folder, provenance)


def read_provenance(folder: Path) -> dict:
    return json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
