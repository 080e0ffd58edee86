"""Parts of diffusers pipelines that a stranger may have published: held against limits and weights, then loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import ModelMixin
from pydantic import BaseModel
from torch import Tensor

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.model_files import ModelFiles, refuse_code
from ddgs_hub.core.schema import Json, read_json, read_values
from ddgs_hub.core.text import MOST_OF_A_NAME, one_line, quoted
from ddgs_hub.core.weights import (
    Weights,
    justified_by,
    read_headers,
    read_pickle,
    read_shards,
    require_finite,
    require_fit,
    weights_of,
)

CONFIG = "config.json"
SAFE, INDEX = "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.safetensors.index.json"
PICKLED, PICKLED_INDEX = "diffusion_pytorch_model.bin", "diffusion_pytorch_model.bin.index.json"


@dataclass(frozen=True)
class Kind:
    """A class of diffusers, and what its configuration may be."""

    model: type[ModelMixin]
    config: type[BaseModel]


def load_component(files: ModelFiles, kinds: Mapping[str, Kind]) -> tuple[ModelMixin, dict[str, Any]]:
    """A model of one of the classes, in float32, and its configuration as it is written.

    Weights are safetensors; pickled ones are read where there are no others, by torch's unpickler of tensors alone.

    Args:
        files: of the model, or of the folder in a pipeline that holds it.
        kinds: by the class that the configuration names.

    Raises:
        InputError: the configuration or the weights cannot be used; the message does not say whose they are.
        OSError, ValueError, EntryNotFoundError, HTTPError: there is no such model, or the Hub cannot be reached.
    """
    files = files.pinned()
    config = read_json(files.get(CONFIG), Json, CONFIG)
    refuse_code(config, CONFIG)
    name = config.get("_class_name")
    kind = kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        raise InputError(f"it is {one_line(name, MOST_OF_A_NAME)}: give one of {', '.join(kinds)}")
    settings = read_values(config, kind.config, CONFIG)
    folder, pickled, weights = _weights(files)
    try:
        with justified_by(weights, CONFIG):
            empty = kind.model(**settings.model_dump(exclude_unset=True))
        require_fit(empty, weights)
        model, report = kind.model.from_pretrained(
            folder,
            torch_dtype=torch.float32,
            use_safetensors=not pickled,
            local_files_only=True,
            output_loading_info=True,
        )
    except InputError:
        raise
    except Exception as error:  # of whatever a foreign configuration makes the library do
        raise InputError(f"its configuration or its weights cannot be used ({one_line(error, 200)})") from error
    if report["missing_keys"]:
        raise InputError(f"it has no weights for {quoted(sorted(report['missing_keys'])[0])}: get all of its files")
    require_finite(model.named_parameters())
    return model, config


def _weights(files: ModelFiles) -> tuple[Path, bool, Weights]:
    """The folder where the weights lie, whether they are pickled, and what they hold."""
    if whole := files.find(SAFE):
        return whole.parent, False, read_headers([whole])
    if index := files.find(INDEX):
        return index.parent, False, read_headers([files.get(shard) for shard in read_shards(index, INDEX)])
    pickle = files.find(PICKLED) or files.get(SAFE)  # which is not there: the error says so
    if (pickle.parent / PICKLED_INDEX).exists():
        raise InputError(f"its weights are pickled in several files: convert them to {SAFE}")
    tensors = {name: value for name, value in read_pickle(pickle).items() if isinstance(value, Tensor)}
    return pickle.parent, True, weights_of(tensors)
