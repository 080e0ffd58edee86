"""The recipe that a folder of results belongs to: written when the folder is begun, compared at every later call."""

from pathlib import Path
from typing import Any

import yaml

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.files import put_in_place
from ddgs_hub.core.schema import read_bytes
from ddgs_hub.core.text import one_line
from ddgs_hub.hub.layout import RECIPE
from ddgs_hub.recipe import changed_keys, completed


def bind_folder(folder: Path, made: dict[str, Any], *, begun: bool) -> None:
    """Makes the folder and writes its `recipe.yaml`, or checks that it belongs to this recipe.

    Args:
        folder: of the results.
        made: what they are made with: its `recipe` as values, and more; see `made_with`.
        begun: whether something in it is finished; otherwise another recipe may take the folder.

    Raises:
        InputError: it belongs to another recipe, holds what is not ours, or cannot be written.
    """
    path = folder / RECIPE
    if path.is_file() and begun:
        refuse_other_recipe(folder, made)
        return
    if not path.is_file() and folder.is_dir() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
        raise InputError(f"{folder} holds what no run has made: choose another --output, or empty it")
    if path.is_file():
        _begun_with(path)  # raises an error if it is not one of ours
    try:
        folder.mkdir(parents=True, exist_ok=True)
        put_in_place(path, yaml.safe_dump(made, sort_keys=False, allow_unicode=True))
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}; choose another --output") from error
    refuse_other_recipe(folder, made)  # of two that began it at once, the last to write has it


def refuse_other_recipe(folder: Path, made: dict[str, Any]) -> None:
    """Refuses a folder that belongs to another recipe; one that belongs to none may pass.

    Raises:
        InputError: it does, or its `recipe.yaml` is damaged; the message names the first value that differs.
    """
    path = folder / RECIPE
    changed = changed_keys(completed(_begun_with(path)), completed(made["recipe"])) if path.is_file() else {}
    if changed:
        key, (old, new) = next(iter(changed.items()))
        raise InputError(
            f"{folder} belongs to another recipe ({key} is {old} there, {new} here): "
            "choose another --output, or remove the folder"
        )


def _begun_with(path: Path) -> Any:
    """The recipe that a folder belongs to, as values."""
    try:
        return yaml.safe_load(read_bytes(path, str(path)))["recipe"]
    except (yaml.YAMLError, RecursionError, ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"{path} is damaged ({one_line(error, 200)}): choose another --output, or remove the folder"
        ) from error
