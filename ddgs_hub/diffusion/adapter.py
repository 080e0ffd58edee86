"""Adapters: the tensors that DiffFit trained, in one small file that names the base they belong to."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch
from diffusers import DiTTransformer2DModel
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.fingerprint import fingerprint
from ddgs_hub.core.model_files import HUB_PREFIX, REVISION, is_hub_id
from ddgs_hub.core.schema import read_json
from ddgs_hub.core.text import quoted
from ddgs_hub.core.weights import DAMAGED, read_headers, require_finite
from ddgs_hub.diffusion.bases import base_path
from ddgs_hub.diffusion.difffit import CLASS_TABLE, ScaledLinear, add_difffit, trained_parameters
from ddgs_hub.diffusion.pool_classes import PoolClasses

METADATA = "ddgs_hub"  # the key of the configuration in the file's metadata
MOST_BLOCKS = 1_000  # of a DiT; the largest published has 28


@dataclass(frozen=True)
class AdapterConfig:
    """The configuration in the metadata of an adapter.

    Attributes:
        base_model: Hub id of the base; empty for a local folder, whose path is private.
        base_revision: its commit.
        base_fingerprint: of the base's patch embedding and last layer. They are not trained, so they identify the base.
        gamma_blocks: blocks that have gammas.
        classes: the trained classes; None: all classes of the DiT.
    """

    base_model: Annotated[str, Field(max_length=200)]
    base_revision: Annotated[str, Field(pattern=REVISION, max_length=200)]
    base_fingerprint: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    gamma_blocks: Annotated[int, Field(ge=0, lt=MOST_BLOCKS)]
    classes: PoolClasses | None

    def base(self) -> str:
        """The name of the base for `load_dit`: a shipped base or one on the Hub, never a path on this machine.

        Raises:
            InputError: the adapter names no base, or its name may be a path.
        """
        if not self.base_model:
            raise InputError("this adapter does not name its base: load that, and `load_adapter` onto it")
        if base_path(self.base_model) != self.base_model:
            return self.base_model
        if not is_hub_id(self.base_model):
            raise InputError(f"its base {quoted(self.base_model)} is no Hub id: load it, and `load_adapter` onto it")
        return f"{HUB_PREFIX}{self.base_model}"


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
        classes: the trained classes. Only their rows of the class table and that of the null class are saved, since no
            other row gets a gradient. None saves all rows.
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
    metadata = {METADATA: json.dumps(asdict(config))}  # one key: safetensors does not keep the order of several
    # Not `save_file`: only the owner could read its file.
    Path(path).write_bytes(save({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, metadata))


def read_adapter_config(path: str | Path) -> AdapterConfig | None:
    """The configuration of an adapter; None if the file is not one.

    Raises:
        InputError: the file or the configuration cannot be read; the message does not name the file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise InputError(DAMAGED) from error
    if METADATA not in metadata:
        return None
    config = read_json(metadata[METADATA].encode(), AdapterConfig, "its configuration")
    if config.classes:
        config.classes.checked("its configuration")
    return config


def load_adapter(dit: DiTTransformer2DModel, path: str | Path) -> DiTTransformer2DModel:
    """Loads the tensors of `save_adapter` into the base that they were trained on; in place.

    Args:
        dit: the base as `load_dit` gives it.
        path: the adapter.

    Raises:
        InputError: the file is not an adapter, belongs to another base, or its tensors do not fit.
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
    try:
        _put(dit, Path(path), config)
    except InputError as error:
        raise InputError(f"cannot load the adapter {path}: {error}") from error
    return dit


def _put(dit: DiTTransformer2DModel, path: Path, config: AdapterConfig) -> None:
    if config.gamma_blocks > len(dit.transformer_blocks):
        raise InputError(f"it has scales for {config.gamma_blocks} blocks, its base has {len(dit.transformer_blocks)}")
    if not any(isinstance(module, ScaledLinear) for module in dit.modules()):
        add_difffit(dit, num_blocks=config.gamma_blocks)
    parameters = trained_parameters(dit)
    table = parameters.pop(CLASS_TABLE)
    if config.classes:
        config.classes.require_known(len(table) - 1, "its configuration")
    _require_shapes(path, parameters, table)
    tensors = load_file(path)
    rows = tensors.pop("class_rows")
    if rows.dtype != torch.int64 or len(rows.unique()) < len(rows) or rows.min() < 0 or rows.max() >= len(table):
        raise InputError(f"its class_rows are not different rows of the {len(table)} of its base: download it again")
    require_finite(tensors.items())
    with torch.no_grad():
        table[rows] = tensors.pop("class_table").to(table)
        for name, tensor in tensors.items():
            parameters[name].copy_(tensor)


def _require_shapes(path: Path, parameters: dict[str, nn.Parameter], table: Tensor) -> None:
    """Compares the shapes in the file, before it is loaded, with those of the trained parameters."""
    shapes = dict(read_headers([path]).shapes)
    rows = shapes.get("class_rows", ())
    wanted = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    wanted |= {"class_rows": rows[:1] or (0,), "class_table": (*rows[:1], table.shape[1])}
    for name in sorted(wanted.keys() | shapes.keys()):
        if shapes.get(name) != wanted.get(name) or 0 in shapes[name]:
            ours, base = (list(part[name]) if name in part else "none" for part in (shapes, wanted))
            raise InputError(f"its tensor {quoted(name)} has shape {ours}, where its base has {base}")


def _base_fingerprint(dit: DiTTransformer2DModel) -> str:
    return fingerprint(dit.pos_embed.proj.weight, dit.proj_out_2.weight)
