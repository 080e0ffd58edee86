"""The classes of a scorer by its configuration alone, so that classes that do not fit are refused before any work."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from huggingface_hub.errors import EntryNotFoundError
from pydantic import BaseModel, Field

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.file_names import CONFIG_FILE, fold_folder
from ddgs_hub.core.files import expanded
from ddgs_hub.core.hub_client import why_no_model
from ddgs_hub.core.model_files import UNREACHABLE, ModelFiles
from ddgs_hub.core.schema import FOREIGN, read_json
from ddgs_hub.difficulty.scorer import scorer_repository
from ddgs_hub.difficulty.scorer_classes import ScorerClasses

Label = Annotated[str, Field(max_length=1_000)]
Labels = list[Label] | dict[str, Label]


class _Classes(BaseModel):
    """What a configuration of timm says of its classes."""

    model_config = FOREIGN
    num_classes: int | None = Field(None, ge=1, le=100_000)
    label_names: Labels | None = None
    label_descriptions: dict[str, Annotated[str, Field(max_length=10_000)]] | None = None


class _Config(_Classes):
    """The same, and what one of transformers says."""

    pretrained_cfg: _Classes | None = None
    id2label: dict[str, Label] | None = None


def read_scorer_classes(name: str, revision: str | None = None) -> ScorerClasses | None:
    """The classes that the configuration of a scorer names; no weights are fetched or read.

    Args:
        name: as `Scorer.from_pretrained` takes it.
        revision: commit, tag or branch of a Hub id.

    Returns:
        None where the configuration does not say how many there are: loading the scorer shows it.

    Raises:
        InputError: there is no such scorer, or its configuration is damaged.
    """
    path = _config_file(name, revision)
    config = read_json(path, _Config, f"{CONFIG_FILE} of the scorer {name}")
    of_timm = config.pretrained_cfg or config
    names = _in_order(config.id2label or config.label_names or of_timm.label_names)
    count = config.num_classes or (len(names) if names else of_timm.num_classes)
    if not count:
        return None
    return ScorerClasses(count, names, config.label_descriptions or of_timm.label_descriptions)


def _config_file(name: str, revision: str | None) -> Path:
    folder = expanded(name)
    if folder.is_dir():
        path = folder / CONFIG_FILE
        return path if path.is_file() else folder / fold_folder(0) / CONFIG_FILE
    repo_id = scorer_repository(name)
    try:
        return ModelFiles(repo_id, on_hub=True, revision=revision).get(CONFIG_FILE)
    except (*UNREACHABLE, EntryNotFoundError) as error:
        raise InputError(f"cannot get the scorer {repo_id}: {why_no_model(repo_id, revision, error)}") from error


def _in_order(names: Labels | None) -> list[str] | None:
    """Names of classes by their index, where a mapping has one for each."""
    if not isinstance(names, Mapping):
        return names
    ordered = [names.get(str(k)) for k in range(len(names))]
    return [name for name in ordered if name is not None] if None not in ordered else None
