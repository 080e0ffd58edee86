"""Small folders of models to publish, made by the real code: a DiT with its pipeline and adapter, and a scorer."""

import copy
import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from tiny_dit import tiny_autoencoder, tiny_dit

from ddgs_hub.diffusion import PoolClasses, add_difffit, load_adapter, save_adapter, save_pipeline
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


def seeded_autoencoder() -> AutoencoderKL:
    """8 px images, latents of 4 px; always with the same weights."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return tiny_autoencoder().eval()


def save_base(folder: Path) -> Path:
    """The base as a pipeline of as many classes as it has."""
    save_pipeline(tiny_dit(2), seeded_autoencoder(), folder, id2label={0: "zero", 1: "one"}, num_classes=2)
    return folder


def save_dit(folder: Path, seed: int, note: str = "") -> Path:
    """A fine-tuned DiT in the files of `finetune`, other weights for each seed."""
    tuned = add_difffit(tiny_dit(2))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    folder.mkdir(parents=True, exist_ok=True)
    adapter = folder / "adapter.safetensors"
    save_adapter(tuned, adapter, classes=CLASSES, base_model=BASE)
    whole = load_adapter(tiny_dit(2), adapter)
    save_pipeline(whole, seeded_autoencoder(), folder, id2label={0: "zero", 1: "one"}, num_classes=2)
    CLASSES.write(folder)
    describe(folder, note)
    return folder


def describe(folder: Path, note: str = "") -> None:
    """Card and provenance, as `ddgs_hub.stages.finetune` writes them."""
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
