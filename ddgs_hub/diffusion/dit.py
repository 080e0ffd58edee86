"""The DiT: diffusers' `DiTTransformer2DModel`, loaded, converted, tied, and saved as a stock pipeline."""

import copy
import re
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler, DiTPipeline, DiTTransformer2DModel
from diffusers.models.embeddings import CombinedTimestepLabelEmbeddings
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, HTTPError
from torch import Tensor, nn

from ddgs_hub.bases import base_path
from ddgs_hub.core.folders import open_weights
from ddgs_hub.diffusion.adapter import ADAPTER_FILE, load_adapter, read_adapter_config
from ddgs_hub.diffusion.convert import (
    CONDITION_EMBEDDER,
    infer_config,
    original_weights,
    read_checkpoint,
    rename_original,
)
from ddgs_hub.diffusion.difffit import add_difffit, fold_difffit
from ddgs_hub.errors import InputError
from ddgs_hub.hub_sources import why_no_model

FREQUENCIES = "timestep_frequencies"  # our key in a model's configuration, see `use_original_frequencies`
TRANSFORMER_CONFIG = "transformer/config.json"  # in a pipeline
STOCK_NULL_CLASS = 1000  # DiTPipeline guides with this class, whatever the number of classes of its model
CHECKPOINTS = (".pt", ".pth", ".safetensors")
UNREACHABLE = (OSError, ValueError, HTTPError)  # what a wrong name, the Hub, or a lost connection raise


def load_dit(name_or_path: str | Path, *, revision: str | None = None) -> DiTTransformer2DModel:
    """A DiT from the Hub, a folder or a file, in float32 and eval mode, with tied condition embedders.

    Args:
        name_or_path: a Hub id or folder of a DiT pipeline (`facebook/DiT-XL-2-256`), a folder of a saved
            `DiTTransformer2DModel`, a `.pt` / `.safetensors` file in the original format (its gammas
            are folded), or an adapter of `save_adapter`, which is put onto its base: its file, or a folder or Hub id
            that holds it and no pipeline.
        revision: of a Hub id.

    Raises:
        InputError: there is nothing of that name, or it is no DiT.
    """
    name = find_dit(name_or_path, revision)
    path = Path(name)
    if path.suffix in CHECKPOINTS:
        if not path.is_file():
            raise InputError(f"there is no checkpoint {path}")
        try:
            return _load_file(path)
        except InputError as error:
            raise InputError(f"cannot load a DiT from {path}: {error}") from error
    where = {
        "subfolder": None if path.is_dir() and not (path / "transformer").is_dir() else "transformer",
        "revision": revision,
    }
    try:
        config = DiTTransformer2DModel.load_config(name, **where)
        original = config.pop(FREQUENCIES, None) == "original"
        dit = DiTTransformer2DModel.from_pretrained(name, torch_dtype=torch.float32, **where)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot load a DiT from {name}: {why_no_model(name, revision, error)}") from error
    tie_condition_embedders(dit).eval()
    return use_original_frequencies(dit) if original else dit


def find_dit(name_or_path: str | Path, revision: str | None = None) -> str:
    """Where the weights of a DiT are: a Hub id, a folder or a file.

    Of a shipped base that is its folder, of an adapter that is alone in a folder or a repository its file (a repository
    of both is a pipeline); any other name as it is.
    """
    name = base_path(str(name_or_path))
    path = Path(name)
    if path.suffix in CHECKPOINTS:
        return name
    if path.is_dir():
        model = (path / "config.json").is_file() or (path / TRANSFORMER_CONFIG).is_file()
        return name if model or not (path / ADAPTER_FILE).is_file() else str(path / ADAPTER_FILE)
    try:
        hf_hub_download(name, TRANSFORMER_CONFIG, revision=revision)
    except EntryNotFoundError:
        try:
            return hf_hub_download(name, ADAPTER_FILE, revision=revision)
        except UNREACHABLE:
            return name
    except UNREACHABLE:
        pass  # who loads it says why
    return name


def _load_file(path: Path) -> DiTTransformer2DModel:
    """The DiT of an adapter or of a checkpoint in the original format."""
    adapter = read_adapter_config(path) if path.suffix == ".safetensors" else None
    if adapter is None:
        dit = fold_difffit(convert_original_checkpoint(read_checkpoint(path)))
        return nn.Module.to(dit, torch.float32).eval()
    if not adapter.base_model:
        raise InputError("this adapter does not name its base: load that, and `load_adapter` onto it")
    base = load_dit(adapter.base_model, revision=adapter.base_revision or None)
    return load_adapter(fold_difffit(base), path).eval()  # of a base that is an adapter itself, the gammas come first


def loaded_commit(name: str, revision: str | None = None) -> str:
    """The commit of a DiT from the Hub that was loaded; empty for one that is not from there."""
    for file in () if Path(name).exists() else (TRANSFORMER_CONFIG, ADAPTER_FILE):
        cached = try_to_load_from_cache(name, file, revision=revision)
        if isinstance(cached, str):
            return Path(cached).parents[file.count("/")].name
    return ""


def new_dit(**config: Any) -> DiTTransformer2DModel:
    """A DiT with random weights, initialised as the DiT paper does (adaLN-Zero): every block starts as the identity.

    Drawn from torch's global generator. `config` goes to `DiTTransformer2DModel`; `out_channels` defaults to twice the
    latent channels (noise and variance), `norm_eps` to the original's 1e-6.
    """
    config = {"out_channels": 2 * config.get("in_channels", 4), "norm_eps": 1e-6, **config}
    dit = tie_condition_embedders(DiTTransformer2DModel(**config))
    for module in dit.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight.flatten(1))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    embedder = condition_embedder(dit)
    for weight in (
        embedder.class_embedder.embedding_table.weight,
        embedder.timestep_embedder.linear_1.weight,
        embedder.timestep_embedder.linear_2.weight,
    ):
        nn.init.normal_(weight, std=0.02)
    for linear in (*(block.norm1.linear for block in dit.transformer_blocks), dit.proj_out_1, dit.proj_out_2):
        nn.init.zeros_(linear.weight)
    return dit


def condition_embedder(dit: DiTTransformer2DModel) -> CombinedTimestepLabelEmbeddings:
    """The embedder of (timestep, class) that all blocks share."""
    return dit.transformer_blocks[0].norm1.emb


def null_class(dit: DiTTransformer2DModel) -> int:
    """The class index that stands for "no class": the last row of the class table."""
    return condition_embedder(dit).class_embedder.num_classes


def tie_condition_embedders(dit: DiTTransformer2DModel) -> DiTTransformer2DModel:
    """Makes all blocks share the first one's embedder of (timestep, class), as in the original DiT; in place.

    diffusers gives each block a copy (+75 M parameters for DiT-XL/2) that drops labels on its own in train mode, so
    that an image is conditional in one block and unconditional in the next. The caller drops labels, once.
    """
    shared = condition_embedder(dit)
    shared.class_embedder.dropout_prob = 0.0
    for block in dit.transformer_blocks:
        block.norm1.emb = shared
    return dit


def use_original_frequencies(dit: DiTTransformer2DModel) -> DiTTransformer2DModel:
    """Switches to the original DiT's timestep frequencies (divided by half, not by half − 1); in place.

    `save_pipeline` notes it in the configuration, where `load_dit` finds it; stock diffusers has its own frequencies.
    """
    condition_embedder(dit).time_proj.downscale_freq_shift = 0
    dit.register_to_config(**{FREQUENCIES: "original"})
    return dit


def convert_original_checkpoint(state_dict: dict[str, Any], num_heads: int | None = None) -> DiTTransformer2DModel:
    """A checkpoint of the original DiT or Minimax code as a `DiTTransformer2DModel` that computes the same.

    The timestep frequencies and the LayerNorm epsilon are the original's. DiffFit gammas, where there are any, become
    those of `add_difffit`: fold them with `fold_difffit`.

    Args:
        state_dict: a plain state dict, or a checkpoint with `ema` (preferred) or `model` in it.
        num_heads: attention heads; None infers them for the published sizes.

    Raises:
        InputError: it is no original-format DiT, or the heads cannot be inferred.
    """
    state_dict = original_weights(state_dict)
    config = infer_config(state_dict, num_heads)
    dit = use_original_frequencies(tie_condition_embedders(DiTTransformer2DModel(**config)))
    gamma_blocks = sum(re.fullmatch(r"blocks\.\d+\.gamma1", name) is not None for name in state_dict)
    if gamma_blocks:
        add_difffit(dit, num_blocks=gamma_blocks)
    renamed = {new: part for name, tensor in state_dict.items() for new, part in rename_original(name, tensor)}
    dit = nn.Module.to(dit, state_dict["x_embedder.proj.weight"].dtype)  # first: loading would round to float32
    shapes = {name: tensor.shape for name, tensor in dit.state_dict().items()}
    # The tied copies appear under each block's name in diffusers' state dict; loading the first one fills all.
    copies = {name for name in shapes if ".norm1.emb." in name and not name.startswith(CONDITION_EMBEDDER)}
    missing = sorted(shapes.keys() - renamed.keys() - copies)
    unexpected = [name for name, part in renamed.items() if shapes.get(name) != part.shape]
    if missing or unexpected:
        raise InputError(f"this checkpoint does not fit a DiT: missing {missing[:3]}, unexpected {unexpected[:3]}")
    dit.load_state_dict(renamed, strict=False)
    return dit.eval()


def save_pipeline(
    dit: DiTTransformer2DModel,
    vae: AutoencoderKL | AutoencoderTiny,
    folder: str | Path,
    *,
    id2label: dict[int, str],
    num_classes: int = STOCK_NULL_CLASS,
) -> None:
    """Saves a DiT with its decoder as a pipeline that stock `DiTPipeline.from_pretrained(folder)` loads and runs.

    DiffFit gammas are folded, the embedders untied, and the class table widened to `num_classes` rows with the null
    class behind them: `DiTPipeline` guides with class 1000 even where the model has ten. `dit` itself is unchanged.

    Args:
        dit: the model.
        vae: decodes its latents.
        folder: where to write.
        id2label: class index → name, for `DiTPipeline.get_label_ids`.
        num_classes: classes of the saved model. Less than 1,000 saves space; such a model is for fine-tuning, it
            cannot be guided by `DiTPipeline`.
    """
    # save_pretrained refuses tied tensors: a fresh model has a copy for each block.
    config = {name: value for name, value in dit.config.items() if not name.startswith("_")}
    frequencies = config.pop(FREQUENCIES, None)
    stock = DiTTransformer2DModel.from_config({**config, "num_embeds_ada_norm": num_classes})
    vae.register_to_config(_name_or_path="")  # where this machine keeps it concerns nobody
    state = folded_state_dict(dit)
    classes = null_class(dit)
    for name, table in state.items():
        if name.endswith("embedding_table.weight") and classes != num_classes:
            wide = table.new_zeros(num_classes + 1, table.shape[1])
            wide[:classes], wide[num_classes] = table[:classes], table[classes]
            state[name] = wide
    stock.load_state_dict(state)
    if frequencies:
        stock.register_to_config(**{FREQUENCIES: frequencies})
    scheduler = DDIMScheduler(num_train_timesteps=1000, beta_schedule="linear", clip_sample=False)
    pipeline = DiTPipeline(transformer=nn.Module.to(stock, dit.dtype), vae=vae, scheduler=scheduler)
    pipeline.register_to_config(id2label={str(k): name for k, name in id2label.items()})
    pipeline.save_pretrained(folder)
    open_weights(folder)


def folded_state_dict(dit: DiTTransformer2DModel) -> dict[str, Tensor]:
    """The state dict of a DiT with its DiffFit gammas folded into weights and biases; the model is left as it is."""
    return fold_difffit(copy.deepcopy(dit)).state_dict()
