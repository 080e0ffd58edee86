"""The layout of a repository: names of its files and configurations, and keys of its `provenance.json`.

Only names: `provenance` reads what a `provenance.json` says, `folders` writes the files, `publishing` sends them.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from huggingface_hub.constants import REPOCARD_NAME

from ddgs_hub.core.files import expanded
from ddgs_hub.core.hub_client import is_repo_id
from ddgs_hub.core.rows import DATA
from ddgs_hub.original import BUILT_IN

CARD = REPOCARD_NAME  # README.md
PROVENANCE = "provenance.json"
RECIPE = "recipe.yaml"  # of a run and of what it publishes: its recipe, every default written out, and the versions
# Where a recipe names images or models, as `--set` calls the values.
RECIPE_NAMES = ("data.original", "codec.encoder", "codec.decoder", "model.base", "score.scorer")
PUBLISHED_RECIPE = "OWNER/NAME@VERSION"  # in a command line: what it is published as, see `with_repository`
# The keys of provenance.json that decide about versions; all others are fields of `provenance.Provenance`.
KIND = "kind"  # the name of one of `kinds.KINDS`
CONTENT = "content"  # hashes and numbers, see `provenance.Content`
PUBLISHED = "published"  # what publishing adds, see `provenance.Published`

# Configurations of a dataset. Each has a folder of the same name, except `default`.
DEFAULT, POOL, ORIGINAL = "default", "pool", "original"
POOL_CONFIGS = (ORIGINAL, POOL)  # what publishing a set with its pool adds

SCORED_NAME = "scored"  # the kind of scored images
FIGURES = "figures"  # the folder of the pictures
# What publishing needs of a run folder: its repositories, and the pool and original of its distilled set.
RUN_REPOSITORIES, RUN_POOL, RUN_ORIGINAL = "hub", "pool", "original"
# Of a set that was sampled from a pool that was there: settings, seed, and where pool and original are.
SAMPLING = "sampling.json"


def config_pattern(config: str, split: str = "train") -> str:
    """The pattern of the Parquet files that a configuration loads as a split: `data/train-*.parquet`."""
    return f"{_folder(config)}/{split}-*.parquet"


def parquet_pattern(config: str) -> str:
    """The pattern of all Parquet files in the folder of a configuration: `data/*.parquet`."""
    return f"{_folder(config)}/*.parquet"


def config_files(folder: Path, config: str) -> list[Path]:
    """The files of a configuration's split `train` in a folder, in order; empty where it has none."""
    return sorted(folder.glob(config_pattern(config)))


def is_pool_file(path: str) -> bool:
    """Whether one of `POOL_CONFIGS` loads the file of that path in a repository."""
    return any(fnmatchcase(path, config_pattern(config)) for config in POOL_CONFIGS)


def _folder(config: str) -> str:
    return DATA if config == DEFAULT else config


def figure_path(name: str) -> str:
    """The path of a picture in a repository: `figures/<name>.png`."""
    return f"{FIGURES}/{name}.png"


def hub_id(name: str | None) -> str | None:
    """`name` if it can be a Hub id (`owner/name`); None if it is a local path, a built-in name, or None."""
    if name is None or "/" not in name or expanded(name).exists() or not is_repo_id(name):
        return None
    return name


def is_local(name: str | None) -> bool:
    """Whether a recipe's name of images or of a model is that of a folder or a file here."""
    return name not in (None, BUILT_IN) and (name.startswith(("/", ".", "~")) or expanded(name).exists())


def public_name(name: str) -> str:
    """A name as it is published: of a path that begins with `/`, `.` or `~` only the last part."""
    return Path(name).name if name.startswith(("/", ".", "~")) else name


def public_values(values: Any) -> Any:
    """JSON values with `public_name` in the place of every local path, at any depth of mappings."""
    if isinstance(values, Mapping):
        return {key: public_values(value) for key, value in values.items()}
    return public_name(values) if isinstance(values, str) else values
