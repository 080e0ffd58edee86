"""Adapters: what DiffFit trained, and nothing else, in one small file that says which base it belongs to."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from diffusers import DiTTransformer2DModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from ddgs_hub.diffusion.classes import PoolClasses
from ddgs_hub.diffusion.difffit import CLASS_TABLE, ScaledLinear, add_difffit, trained_parameters
from ddgs_hub.errors import InputError
from ddgs_hub.fingerprint import fingerprint

ADAPTER_FILE = "adapter.safetensors"
METADATA = "ddgs_hub"  # the key of the configuration in the file's metadata


@dataclass(frozen=True)
class AdapterConfig:
    """What an adapter says of itself.

    Attributes:
        base_model: Hub id of the base; empty where it is a folder, whose place concerns nobody.
        base_revision: its commit.
        base_fingerprint: of the base's patch embedding and last layer, which are not trained: it is known by them.
        gamma_blocks: blocks that have gammas.
        classes: what was trained; None: all classes of the DiT.
    """

    base_model: str
    base_revision: str
    base_fingerprint: str
    gamma_blocks: int
    classes: PoolClasses | None


def save_adapter(
    dit: DiTTransformer2DModel,
    path: str | Path,
    *,
    classes: PoolClasses | None = None,
    base_model: str = "",
    base_revision: str = "",
) -> None:
    """Saves the trained tensors only, as safetensors, with their configuration in the metadata.

    Args:
        dit: a model after `add_difffit`.
        path: the file to write.
        classes: the classes that were trained: of the class table only their rows and the null class's are kept, since
            no other row gets a gradient. None keeps all rows.
        base_model: Hub id of the base.
        base_revision: its commit.
    """
    tensors = {name: parameter.detach() for name, parameter in trained_parameters(dit).items()}
    table = tensors.pop(CLASS_TABLE)
    rows = range(len(table)) if classes is None else sorted({*classes.dit_ids, len(table) - 1})
    tensors["class_rows"] = torch.tensor(list(rows), device=table.device)
    tensors["class_table"] = table[tensors["class_rows"]]
    num_blocks = sum(isinstance(block.ff.net[2], ScaledLinear) for block in dit.transformer_blocks)
    config = AdapterConfig(base_model, base_revision, _base_fingerprint(dit), num_blocks, classes)
    metadata = {METADATA: json.dumps(asdict(config))}  # one key: safetensors writes several in any order
    # Not by `save_file`, which lets nobody but the owner read the file.
    Path(path).write_bytes(save({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, metadata))


def read_adapter_config(path: str | Path) -> AdapterConfig | None:
    """The configuration of an adapter; None of a file that is none.

    Raises:
        InputError: the file cannot be read; the message does not name it.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise InputError("it is damaged, or no checkpoint: download or save it again") from error
    if METADATA not in metadata:
        return None
    values = json.loads(metadata[METADATA])
    classes = PoolClasses(**values.pop("classes")) if values["classes"] else values.pop("classes")
    return AdapterConfig(**values, classes=classes)


def load_adapter(dit: DiTTransformer2DModel, path: str | Path) -> DiTTransformer2DModel:
    """Puts the tensors of `save_adapter` onto the base that they were trained from; in place.

    Args:
        dit: the base as `load_dit` gives it.
        path: the adapter.

    Raises:
        InputError: the file is no adapter, or it belongs to another base.
    """
    try:
        config = read_adapter_config(path)
    except InputError as error:
        raise InputError(f"cannot load the adapter {path}: {error}") from error
    if config is None:
        raise InputError(f"{path} is not an adapter that ddgs-hub wrote")
    if config.base_fingerprint != _base_fingerprint(dit):
        wanted = f"{config.base_model} at {config.base_revision or 'main'}" if config.base_model else "its own base"
        raise InputError(f"adapter {path} was trained on another DiT than this one: load {wanted} in float32 first")
    if not any(isinstance(module, ScaledLinear) for module in dit.modules()):
        add_difffit(dit, num_blocks=config.gamma_blocks)
    tensors = load_file(path)
    rows, table = tensors.pop("class_rows"), tensors.pop("class_table")
    parameters = dict(dit.named_parameters())
    with torch.no_grad():
        parameters[CLASS_TABLE][rows] = table.to(parameters[CLASS_TABLE])
        for name, tensor in tensors.items():
            parameters[name].copy_(tensor)
    return dit


def _base_fingerprint(dit: DiTTransformer2DModel) -> str:
    return fingerprint(dit.pos_embed.proj.weight, dit.proj_out_2.weight)
