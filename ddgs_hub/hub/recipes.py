"""The `recipe.yaml` that was published with what a run made, read again: a stranger may have written it.

It is data by the schema of recipes, and it names models and images on the Hub alone: what it calls by a path, or as a
file or folder here is called, is never opened.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub.hf_api import RepoFile

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.files import expanded
from ddgs_hub.core.front_matter import read_mapping
from ddgs_hub.core.hub_client import make_client, patiently, pin_repository, reading
from ddgs_hub.core.model_files import REVISION
from ddgs_hub.core.revisions import split_revision
from ddgs_hub.core.schema import read_bytes, read_values
from ddgs_hub.core.text import quoted
from ddgs_hub.hub.layout import RECIPE, RECIPE_NAMES
from ddgs_hub.hub.provenance import Settings
from ddgs_hub.hub.publishing.remote import find_remote
from ddgs_hub.original import BUILT_IN
from ddgs_hub.recipe import Recipe, parse_recipe, recipe_in, with_overrides

MOST_BYTES = 2**18  # of a recipe.yaml; one has three thousand
REVISIONS = ("data.revision", "model.revision", "score.revision")
PARTS = ("data.config", "data.train_split", "data.validation_split")  # they become part of names of files
ON_HUB = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?(@\w[\w./-]*)?", re.ASCII)
PART = re.compile(r"\w[\w.-]{0,99}", re.ASCII)


def is_published(name: str) -> bool:
    """Whether a recipe's name is that of a repository: `owner/name` or `owner/name@revision`, and no file here."""
    return name.partition("@")[0].count("/") == 1 and ON_HUB.fullmatch(name) is not None and not expanded(name).exists()


def load_published_recipe(spec: str, overrides: Sequence[str] = ()) -> Recipe:
    """Reads the `recipe.yaml` of a dataset, or else a model, on the Hub.

    Args:
        spec: `owner/name` or `owner/name@revision`; without a revision it is the newest commit.
        overrides: `section.key=value` strings, as `--set` takes them. Images or models that they name are the caller's
            own, and may be folders here.

    Raises:
        InputError: there is no such repository or revision, it has no recipe, or the recipe does not fit the schema or
            names what is not on the Hub.
    """
    where = f"{RECIPE} of {spec}"
    text = read_bytes(_fetch(spec, where), where, MOST_BYTES).decode("utf-8", errors="replace")
    values = read_values(recipe_in(read_mapping(text, where)), Settings, where)
    given = {override.partition("=")[0] for override in overrides}
    _refuse_local(parse_recipe(values, where), given, where)
    return parse_recipe(with_overrides(values, overrides), where)


def _fetch(spec: str, where: str) -> Path:
    """The file, in the cache of huggingface_hub; its size is asked for first."""
    name, revision = split_revision(spec)
    api = make_client()
    repo_type = find_remote(api, name).repo_type
    pinned = pin_repository(name, revision, repo_type)
    place: Any = {"repo_type": repo_type, "revision": pinned.commit}
    with reading(where):
        files = patiently(lambda: api.get_paths_info(pinned.id, RECIPE, **place))
        sizes = [file.size for file in files if isinstance(file, RepoFile)]
        if not sizes:
            earlier = "it was published before recipes were, or no run has made it"
            raise InputError(f"{spec} has no {RECIPE}: {earlier}; give another version, or a recipe")
        if sizes[0] > MOST_BYTES:
            raise InputError(f"{where} is larger than {MOST_BYTES // 1024} kB, which none is: give another")
        return Path(patiently(lambda: api.hf_hub_download(pinned.id, RECIPE, **place)))


def _refuse_local(recipe: Recipe, given: set[str], where: str) -> None:
    """Refuses a recipe whose images or models are not those of a repository on the Hub, unless the caller gave others.

    Args:
        recipe: a stranger's.
        given: keys whose values are the caller's.
        where: what it is, for messages.
    """

    def of(keys: Sequence[str]) -> dict[str, str]:
        parts = {key: key.split(".") for key in keys if key not in given}
        values = {key: getattr(getattr(recipe, section), name) for key, (section, name) in parts.items()}
        return {key: value for key, value in values.items() if value is not None}

    for key, name in of(RECIPE_NAMES).items():
        option = "--original FOLDER" if key == "data.original" else f"--set {key}=FOLDER"
        if name == BUILT_IN:
            continue
        if ON_HUB.fullmatch(name) is None or ".." in name:
            raise InputError(
                f"{where} names {quoted(name)} as {key}, which is not on the Hub: if you have it, give {option}"
            )
        if expanded(name).exists():
            raise InputError(
                f"{where} names {quoted(name)} as {key}, and a file or folder here is called so, too: start in another "
                f"folder, or give {option}"
            )
    for keys, pattern, what in ((REVISIONS, re.compile(REVISION), "revision"), (PARTS, PART, "name of one")):
        for key, value in of(keys).items():
            if pattern.fullmatch(value) is None or ".." in value:
                raise InputError(f"{where} has {quoted(value)} as {key}, which is no {what}: give --set {key}=VALUE")
