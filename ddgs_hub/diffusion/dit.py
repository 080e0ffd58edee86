"""The DiT: diffusers' `DiTTransformer2DModel`, loaded, converted, tied, and saved as a stock pipeline."""

import copy
import re
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL, DDIMScheduler, DiTPipeline, DiTTransformer2DModel
from diffusers.models.embeddings import CombinedTimestepLabelEmbeddings
from pydantic import BaseModel, Field
from torch import Tensor, nn

from ddgs_hub.core.components import ComponentClass, load_component
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.file_names import ADAPTER_FILE, CONFIG_FILE, PIPELINE_INDEX, TRANSFORMER, VAE
from ddgs_hub.core.hub_client import cached_model_commit, why_no_model
from ddgs_hub.core.model_files import HUB_PREFIX, UNREACHABLE, ModelFiles, refuse_code
from ddgs_hub.core.schema import FOREIGN, Json, read_json
from ddgs_hub.core.staging import make_weights_readable
from ddgs_hub.core.text import quoted
from ddgs_hub.core.weights import require_finite
from ddgs_hub.diffusion.adapter import load_adapter, read_adapter_config
from ddgs_hub.diffusion.autoencoder import KLSettings
from ddgs_hub.diffusion.bases import base_path
from ddgs_hub.diffusion.convert import (
    CONDITION_EMBEDDER,
    infer_config,
    original_weights,
    read_checkpoint,
    rename_original,
)
from ddgs_hub.diffusion.difffit import add_difffit, fold_difffit

FREQUENCIES = "timestep_frequencies"  # our key in a model's configuration, see `use_original_frequencies`
TRANSFORMER_CONFIG = "transformer/config.json"  # in a pipeline
STOCK_NULL_CLASS = 1000  # DiTPipeline guides with this class, whatever the number of classes of its model
CHECKPOINTS = (".pt", ".pth", ".safetensors")
MOST_ADAPTERS = 4  # of which each is based on the next
MOST_LATENT_PIXELS = 256  # side of the latents: images of 2,048 px


class DiTSettings(BaseModel):
    """The configuration of a DiT: arguments of `DiTTransformer2DModel`, with their ranges."""

    model_config = FOREIGN
    num_attention_heads: int = Field(16, ge=1, le=256)
    attention_head_dim: int = Field(72, ge=1, le=1024)
    in_channels: int = Field(4, ge=1, le=256)
    out_channels: int | None = Field(None, ge=1, le=512)
    num_layers: int = Field(28, ge=1, le=1000)
    dropout: float = Field(0.0, ge=0, lt=1)
    norm_num_groups: int = Field(32, ge=1, le=1024)
    attention_bias: bool = True
    sample_size: int = Field(32, ge=1, le=MOST_LATENT_PIXELS)
    patch_size: int = Field(2, ge=1, le=64)
    activation_fn: str = Field("gelu-approximate", max_length=40)
    num_embeds_ada_norm: int = Field(1000, ge=1, lt=100_000)
    upcast_attention: bool = False
    norm_type: Literal["ada_norm_zero"] = "ada_norm_zero"
    norm_elementwise_affine: bool = False
    norm_eps: float = Field(1e-5, gt=0, lt=1)


# The class had another name when the published DiTs were saved.
DITS = {
    name: ComponentClass(DiTTransformer2DModel, DiTSettings) for name in ("DiTTransformer2DModel", "Transformer2DModel")
}


def load_dit(name_or_path: str | Path, *, revision: str | None = None) -> DiTTransformer2DModel:
    """A DiT from the Hub, a folder or a file, in float32 and eval mode, with tied condition embedders.

    Args:
        name_or_path: a Hub id or folder of a DiT pipeline (`facebook/DiT-XL-2-256`), a folder of a saved
            `DiTTransformer2DModel`, a `.pt` / `.safetensors` file in the original format (its gammas are folded), or an
            adapter of `save_adapter`, which is loaded into its base: its file, or a folder or Hub id that holds the
            adapter and no pipeline.
        revision: of a Hub id.

    Raises:
        InputError: there is no DiT of that name, or it cannot be loaded.
    """
    name = find_dit(name_or_path, revision)
    path = Path(name)
    if _is_checkpoint(name):
        if not path.is_file():
            raise InputError(f"there is no checkpoint {path}")
        try:
            return _load_file(path)
        except InputError as error:
            raise InputError(f"cannot load a DiT from {path}: {error}") from error
    files = ModelFiles.of(name, revision)
    try:
        _refuse_other_libraries(files)
        dit, config = load_component(_transformer(files), DITS)
    except UNREACHABLE as error:
        reason = error if isinstance(error, InputError) else why_no_model(files.name, revision, error)
        raise InputError(f"cannot load a DiT from {files.name}: {reason}") from error
    tie_condition_embedders(dit).eval()
    return use_original_frequencies(dit) if config.get(FREQUENCIES) == "original" else dit


def find_dit(name_or_path: str | Path, revision: str | None = None) -> str:
    """Where the weights of a DiT are: a Hub id, a folder or a file.

    For a shipped base that is its folder. For a folder or a repository that holds an adapter and no pipeline it is the
    file of the adapter. Any other name is returned as it is.
    """
    name = base_path(str(name_or_path))
    if _is_checkpoint(name):
        return name
    files = ModelFiles.of(name, revision)
    try:
        if files.find(TRANSFORMER_CONFIG) or (not files.on_hub and files.find(CONFIG_FILE)):
            return name
        return str(files.find(ADAPTER_FILE) or name)
    except UNREACHABLE:
        return name  # loading it will raise the error


def base_of(adapter: str | Path) -> tuple[list[Path], str, str | None]:
    """The base of an adapter, whose base may itself be an adapter.

    Returns:
        The adapters in the order in which they are to be loaded, and the name and the revision of the base.

    Raises:
        InputError: an adapter does not name its base, or there are too many; the message does not name the file.
    """
    adapters: list[Path] = []
    name, revision = str(adapter), None
    while _is_checkpoint(name) and name.endswith(".safetensors") and (config := read_adapter_config(name)):
        adapters.insert(0, Path(name))
        if len(adapters) > MOST_ADAPTERS:
            raise InputError(f"it is put onto adapter after adapter, more than {MOST_ADAPTERS}: give a DiT as a base")
        revision = config.base_revision or None
        name = find_dit(config.base(), revision)
    return adapters, name, revision


def _is_checkpoint(name: str) -> bool:
    """Whether a name is that of a file, rather than of a folder or a repository."""
    return Path(name).suffix in CHECKPOINTS and not name.startswith(HUB_PREFIX)


def _transformer(files: ModelFiles) -> ModelFiles:
    """The DiT of a pipeline, or the model that a folder holds alone."""
    alone = not files.on_hub and files.find(TRANSFORMER_CONFIG) is None
    return files if alone else files.within(TRANSFORMER)


def _refuse_other_libraries(files: ModelFiles) -> None:
    """Looks at the parts of a pipeline: a DiT needs nothing but diffusers."""
    index = files.find(PIPELINE_INDEX)
    if index is None:
        return
    parts = read_json(index, Json, PIPELINE_INDEX)
    refuse_code(parts, PIPELINE_INDEX)
    for part, made_of in parts.items():
        if isinstance(made_of, list) and made_of[:1] not in (["diffusers"], [None]):
            raise InputError(f"{PIPELINE_INDEX} has {quoted(part)} of a library that is not diffusers: give a DiT")


def _load_file(path: Path) -> DiTTransformer2DModel:
    """The DiT of an adapter or of a checkpoint in the original format."""
    adapters, base, revision = base_of(path)
    if not adapters:
        dit = fold_difffit(convert_original_checkpoint(read_checkpoint(path)))
        require_finite(dit.named_parameters())
        return nn.Module.to(dit, torch.float32).eval()
    dit = load_dit(base, revision=revision)
    for adapter in adapters:  # the gammas of the lower adapter are folded first
        dit = load_adapter(fold_difffit(dit), adapter)
    return dit.eval()


def base_size(folder: str | Path) -> int:
    """Side in px of the images of a pipeline in a folder, by the configurations of its DiT and its autoencoder.

    Raises:
        InputError: a configuration cannot be read.
    """
    files = ModelFiles.of(folder)
    of_dit, of_autoencoder = TRANSFORMER_CONFIG, f"{VAE}/{CONFIG_FILE}"
    dit = read_json(files.get(of_dit), DiTSettings, f"{of_dit} of {folder}")
    autoencoder = read_json(files.get(of_autoencoder), KLSettings, f"{of_autoencoder} of {folder}")
    return dit.sample_size * 2 ** (len(autoencoder.block_out_channels) - 1)


def loaded_commit(name: str, revision: str | None = None) -> str:
    """The commit of a DiT from the Hub that was loaded; empty for one that is not from there."""
    files = ModelFiles.of(name)
    commit = cached_model_commit(files.name, (TRANSFORMER_CONFIG, ADAPTER_FILE), revision) if files.on_hub else None
    return commit or ""


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

    diffusers gives each block a copy (+75 M parameters for DiT-XL/2). In train mode each copy drops labels by itself:
    an image may be conditional in one block and unconditional in the next. Here the caller drops labels, once.
    """
    shared = condition_embedder(dit)
    shared.class_embedder.dropout_prob = 0.0
    for block in dit.transformer_blocks:
        block.norm1.emb = shared
    return dit


def use_original_frequencies(dit: DiTTransformer2DModel) -> DiTTransformer2DModel:
    """Switches to the original DiT's timestep frequencies (divided by half, not by half − 1); in place.

    `save_pipeline` writes this into the configuration, and `load_dit` reads it. Stock diffusers uses its own
    frequencies.
    """
    condition_embedder(dit).time_proj.downscale_freq_shift = 0
    dit.register_to_config(**{FREQUENCIES: "original"})
    return dit


def convert_original_checkpoint(state_dict: dict[str, Any], num_heads: int | None = None) -> DiTTransformer2DModel:
    """A checkpoint of the original DiT or Minimax code as a `DiTTransformer2DModel` that computes the same.

    The timestep frequencies and the LayerNorm epsilon are the original's. DiffFit gammas become those of `add_difffit`;
    fold them with `fold_difffit`.

    Args:
        state_dict: a plain state dict, or a checkpoint with `ema` (preferred) or `model` in it.
        num_heads: attention heads; None infers them for the published sizes.

    Raises:
        InputError: it is not a DiT in the original format, or the heads cannot be inferred.
    """
    state_dict = original_weights(state_dict)
    config = infer_config(state_dict, num_heads)
    dit = use_original_frequencies(tie_condition_embedders(DiTTransformer2DModel(**config)))
    gamma_blocks = sum(re.fullmatch(r"blocks\.\d+\.gamma1", name) is not None for name in state_dict)
    if gamma_blocks:
        add_difffit(dit, num_blocks=gamma_blocks)
    renamed = {new: part for name, tensor in state_dict.items() for new, part in rename_original(name, tensor)}
    dit = nn.Module.to(dit, state_dict["x_embedder.proj.weight"].dtype)  # before loading, which would round to float32
    shapes = {name: tensor.shape for name, tensor in dit.state_dict().items()}
    # diffusers' state dict has the tied embedder under the name of each block; loading the first one fills all.
    copies = {name for name in shapes if ".norm1.emb." in name and not name.startswith(CONDITION_EMBEDDER)}
    missing = sorted(shapes.keys() - renamed.keys() - copies)
    unexpected = [name for name, part in renamed.items() if shapes.get(name) != part.shape]
    if missing or unexpected:
        raise InputError(f"this checkpoint does not fit a DiT: missing {missing[:3]}, unexpected {unexpected[:3]}")
    dit.load_state_dict(renamed, strict=False)
    return dit.eval()


def save_pipeline(
    dit: DiTTransformer2DModel,
    vae: AutoencoderKL,
    folder: str | Path,
    *,
    id2label: dict[int, str],
    num_classes: int = STOCK_NULL_CLASS,
) -> None:
    """Saves a DiT with its decoder as a pipeline that stock `DiTPipeline.from_pretrained(folder)` loads and runs.

    DiffFit gammas are folded, the embedders untied, and the class table is widened to `num_classes` rows with the null
    class behind them: `DiTPipeline` guides with class 1000, even if the model has ten classes. `dit` is not changed.

    Args:
        dit: the model.
        vae: decodes its latents.
        folder: where to write.
        id2label: class index → name, for `DiTPipeline.get_label_ids`.
        num_classes: classes of the saved model. With less than 1,000 the model is smaller, but `DiTPipeline` cannot
            guide it: it is for fine-tuning.
    """
    # save_pretrained refuses tied tensors; a new model has a copy for each block.
    config = {name: value for name, value in dit.config.items() if not name.startswith("_")}
    frequencies = config.pop(FREQUENCIES, None)
    stock = DiTTransformer2DModel.from_config({**config, "num_embeds_ada_norm": num_classes})
    vae.register_to_config(_name_or_path="")  # a path of this machine is private
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
    make_weights_readable(folder)


def folded_state_dict(dit: DiTTransformer2DModel) -> dict[str, Tensor]:
    """The state dict of a DiT with its DiffFit gammas folded into weights and biases; the model is not changed."""
    return fold_difffit(copy.deepcopy(dit)).state_dict()
