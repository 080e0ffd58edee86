"""What made a result, for `recipe.yaml` and `provenance.json`: recipe, versions, and hashes of what it was made of."""

import subprocess
from contextlib import suppress
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.file_names import ADAPTER_FILE, CONFIG_FILE, TRANSFORMER
from ddgs_hub.core.hub_client import cached_model_commit
from ddgs_hub.core.model_files import HUB_PREFIX, ModelFiles
from ddgs_hub.core.processes import get_state
from ddgs_hub.hub import Provenance, hash_weights, hub_id
from ddgs_hub.recipe import Recipe, parse_recipe, values_of_run

LIBRARIES = ("accelerate", "datasets", "diffusers", "huggingface_hub", "timm", "torch", "transformers")
# Files that loading a model leaves in the Hub's cache: of a classifier, of a pipeline, of an adapter.
LOADED = (CONFIG_FILE, f"{TRANSFORMER}/{CONFIG_FILE}", ADAPTER_FILE)


def made_with(recipe: Recipe) -> dict[str, Any]:
    """The resolved recipe, as far as a run reads it, and the versions of the libraries that carry it out."""
    return {"recipe": values_of_run(recipe), "versions": library_versions(*LIBRARIES)}


def library_versions(*libraries: str) -> dict[str, str]:
    """The versions of ddgs-hub and of the libraries, by the names of their distributions."""
    return {name: version(name) for name in ("ddgs-hub", *libraries)}


@cache
def code_commit() -> str:
    """The commit of the checkout that this package runs from; the version of the package where it is installed."""
    package = Path(__file__).parents[1]
    if (package.parent / ".git").exists():
        with suppress(OSError, subprocess.CalledProcessError):
            git = ["git", "-C", str(package.parent), "rev-parse", "HEAD"]
            return subprocess.run(git, check=True, capture_output=True, text=True).stdout.strip()
    return version("ddgs-hub")


def here_and_now() -> tuple[str, str, str]:
    """When in UTC, on what, and with which code something is computed: `ended`, `device`, `commit` of `Finished`."""
    ended = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return ended, _device(), code_commit()


@cache
def _device() -> str:
    """The GPU of this process, or how many threads PyTorch uses on the CPU; and how many processes work together."""
    import torch

    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
    else:
        threads = torch.get_num_threads()
        name = f"CPU, {threads} thread{'s' if threads > 1 else ''}"
    return f"{count} × {name}" if (count := get_state().num_processes) > 1 else name


def original_ids(recipe: Recipe) -> list[str]:
    """Hub ids of the original images; none where they are not on the Hub."""
    source = hub_id(recipe.data.original)
    return [source] if source else []


def model_identity(name: str | Path, revision: str | None = None) -> str:
    """What identifies a model: the hash of its weights if it is local, or else its Hub id and commit.

    Args:
        name: a Hub id, the name of a shipped base, a folder or a file.
        revision: of a Hub id. The commit is the one that was loaded into the cache.
    """
    from ddgs_hub.diffusion import base_path  # imported here: it brings torch and diffusers

    files = ModelFiles.of(base_path(str(name)), revision)
    if not files.on_hub:
        return hash_weights(files.name)
    return f"{files.name}@{cached_model_commit(files.name, LOADED, files.revision) or files.revision or ''}"


def scorer_identity(name: str | Path, revision: str | None = None) -> str:
    """The same of a scorer, which may also be a timm model name: `Scorer` loads that from the Hub, too."""
    from ddgs_hub.difficulty import scorer_repository  # imported here: it brings torch and timm

    on_hub = ModelFiles.of(name).on_hub
    return model_identity(f"{HUB_PREFIX}{scorer_repository(str(name))}" if on_hub else name, revision)


def recipe_of(provenance: Provenance) -> Recipe | None:
    """The recipe in a published `provenance.json`; None if there is none, or if this version cannot read it."""
    try:
        return parse_recipe(provenance.recipe) if provenance.recipe is not None else None
    except InputError:  # the rows can be used without it
        return None
