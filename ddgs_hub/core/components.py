"""Models of diffusers pipelines that a stranger may have published: checked against their weights, then loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import ModelMixin
from diffusers.utils.constants import (
    SAFE_WEIGHTS_INDEX_NAME,
    SAFETENSORS_WEIGHTS_NAME,
    WEIGHTS_INDEX_NAME,
    WEIGHTS_NAME,
)
from pydantic import BaseModel
from torch import Tensor

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.file_names import CONFIG_FILE
from ddgs_hub.core.model_files import ModelFiles, refuse_code
from ddgs_hub.core.schema import Json, read_json, read_values
from ddgs_hub.core.text import MOST_OF_A_NAME, one_line, quoted
from ddgs_hub.core.weights import (
    TensorShapes,
    building_within,
    read_headers,
    read_pickle,
    read_shards,
    require_finite,
    require_fit,
    shapes_of,
)


@dataclass(frozen=True)
class ComponentClass:
    """A class of diffusers that may be loaded.

    Attributes:
        model: the class.
        config: schema of its configuration.
    """

    model: type[ModelMixin]
    config: type[BaseModel]


def load_component(files: ModelFiles, classes: Mapping[str, ComponentClass]) -> tuple[ModelMixin, dict[str, Any]]:
    """Loads a model of one of the classes, in float32.

    The weights are safetensors. If there are only pickled ones, torch reads them as plain tensors, without objects.

    Args:
        files: of the model, which may be a folder in a pipeline.
        classes: name of a class, as in the configuration → the class.

    Returns:
        The model, and its configuration as it is written.

    Raises:
        InputError: the configuration or the weights cannot be used; the message does not say whose they are.
        OSError, ValueError, EntryNotFoundError, HTTPError: there is no such model, or the Hub cannot be reached.
    """
    files = files.pinned()
    config = read_json(files.get(CONFIG_FILE), Json, CONFIG_FILE)
    refuse_code(config, CONFIG_FILE)
    name = config.get("_class_name")
    component = classes.get(name) if isinstance(name, str) else None
    if component is None:
        raise InputError(f"it is {one_line(name, MOST_OF_A_NAME)}: give one of {', '.join(classes)}")
    settings = read_values(config, component.config, CONFIG_FILE)
    folder, pickled, weights = _weights(files)
    try:
        with building_within(weights, CONFIG_FILE):
            empty = component.model(**settings.model_dump(exclude_unset=True))
        require_fit(empty, weights)
        model, report = component.model.from_pretrained(
            folder,
            torch_dtype=torch.float32,
            use_safetensors=not pickled,
            local_files_only=True,
            output_loading_info=True,
        )
    except InputError:
        raise
    except Exception as error:  # a foreign configuration can make the library raise anything
        raise InputError(f"its configuration or its weights cannot be used ({one_line(error, 200)})") from error
    if report["missing_keys"]:
        raise InputError(f"it has no weights for {quoted(sorted(report['missing_keys'])[0])}: get all of its files")
    require_finite(model.named_parameters())
    return model, config


def _weights(files: ModelFiles) -> tuple[Path, bool, TensorShapes]:
    """The folder of the weights, whether they are pickled, and the shapes of their tensors."""
    if whole := files.find(SAFETENSORS_WEIGHTS_NAME):
        return whole.parent, False, read_headers([whole])
    if index := files.find(SAFE_WEIGHTS_INDEX_NAME):
        return (
            index.parent,
            False,
            read_headers([files.get(shard) for shard in read_shards(index, SAFE_WEIGHTS_INDEX_NAME)]),
        )
    pickle = files.find(WEIGHTS_NAME) or files.get(SAFETENSORS_WEIGHTS_NAME)  # raises: there are no weights
    if (pickle.parent / WEIGHTS_INDEX_NAME).exists():
        raise InputError(f"its weights are pickled in several files: convert them to {SAFETENSORS_WEIGHTS_NAME}")
    tensors = {name: value for name, value in read_pickle(pickle).items() if isinstance(value, Tensor)}
    return pickle.parent, True, shapes_of(tensors)
