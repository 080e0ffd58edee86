"""Reads a recipe from YAML, with values set on the command line; writes one; compares two."""

import copy
import dataclasses
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ArgsKwargs

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.text import one_line
from ddgs_hub.recipe.sections import Recipe

T = TypeVar("T")
GUIDES = ("modes", "difficulty")  # sections of `pool`, of which `pool.guide` names the one that is read
MATCHING = ("dm", "idc")  # sections of images that are learnt by matching: `baseline` and `reproduce` read them
RECIPES = Path(__file__).parents[1] / "recipes"
# What PyYAML raises. A date that does not exist and a number of thousands of digits are ValueErrors.
UNREADABLE_YAML = (yaml.YAMLError, ValueError, RecursionError)


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load_recipe(name_or_path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> Recipe:
    """Reads a recipe of the package by name, or a YAML file by path.

    Args:
        name_or_path: `digits`, `imagewoof`, …, or the path of a YAML file (.yaml or .yml), such as the `recipe.yaml` of
            a run folder.
        overrides: `section.key=value` strings, as `--set` takes them; values are YAML.

    Raises:
        InputError: there is no such recipe, or a key, type or range in it is wrong; the message names it.
    """
    values = read_yaml(yaml_path(name_or_path, RECIPES, "recipe"), "recipe")
    return parse_recipe(with_overrides(recipe_in(values), overrides), where=f"recipe {name_or_path}")


def recipe_in(values: dict[str, Any]) -> dict[str, Any]:
    """The recipe in a `recipe.yaml` of a run or of a repository, which also has the versions; a plain one as it is."""
    recipe = values.get("recipe")
    return recipe if values.keys() == {"recipe", "versions"} and isinstance(recipe, dict) else values


def with_overrides(values: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """The values of a recipe with those of `section.key=value` strings in their place; see `load_recipe`."""
    values = copy.deepcopy(values)
    for override in overrides:
        _set(values, override)
    return values


def yaml_path(name_or_path: str | Path, folder: Path, what: str) -> Path:
    """The YAML file of a name in a folder of the package, or of a user's path.

    Args:
        name_or_path: a name without suffix, or a path that ends with .yaml or .yml.
        folder: where the names are.
        what: the file is, for messages.

    Raises:
        InputError: the folder has no such name; the message lists those that it has.
    """
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        return path
    path = folder / f"{name_or_path}.yaml"
    if not path.is_file():
        _refuse_folder(Path(name_or_path))
        names = ", ".join(sorted(known.stem for known in folder.glob("*.yaml")))
        raise InputError(f"unknown {what} '{name_or_path}': choose one of {names}, or give a .yaml file")
    return path


def _refuse_folder(path: Path) -> None:
    if (path / "recipe.yaml").is_file():
        raise InputError(f"{path} is a folder, and no recipe: give {path / 'recipe.yaml'}")
    if path.is_dir():
        line = shlex.join(["ddgs-hub", "init", str(path), "--output", "recipe.yaml"])
        raise InputError(f"{path} is a folder, and no recipe: if it holds images, `{line}` writes one for them")


def read_yaml(path: Path, what: str) -> dict[str, Any]:
    """The values of a YAML file of a user.

    Args:
        path: of the file.
        what: is in it, for messages.

    Raises:
        InputError: it cannot be read, is no YAML, or no mapping.
    """
    try:
        values = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {what} {path}: {error.strerror}") from error
    except UNREADABLE_YAML as error:
        raise InputError(f"{what} {path} is not valid YAML: {one_line(error, 300)}") from error
    if not isinstance(values, dict):
        raise InputError(f"{what} {path} is not a mapping of sections")
    return values


def parse_recipe(values: dict[str, Any], where: str = "recipe") -> Recipe:
    """Builds a recipe from nested dictionaries; raises like `parse_section`.

    `sample.ipc` may be a list: `Recipe.ipcs` has its numbers, and `sample.ipc` of the recipe is the largest.
    """
    if "several" in values:
        raise InputError(f"{where}: unknown key 'several'; give sample.ipc a list")
    sample = values.get("sample")
    listed = sample.get("ipc") if isinstance(sample, dict) else None
    if isinstance(listed, str) and "," in listed:  # as `sample --ipc` takes it
        raise InputError(f"{where}: sample.ipc: give several as a list, [{one_line(listed, 60)}]")
    if isinstance(sample, dict) and isinstance(listed, list):
        if not listed or any(type(ipc) is not int or ipc < 1 for ipc in listed) or len(set(listed)) < len(listed):
            one_of = f"{listed!r:.200}"
            raise InputError(f"{where}: sample.ipc: give numbers from 1 on, each once, as [10, 20, 50], got {one_of}")
        values = {**values, "sample": {**sample, "ipc": max(listed)}}
        if len(listed) > 1:
            values["several"] = tuple(sorted(listed))
    return parse_section(Recipe, values, where)


def parse_section(section: type[T], values: dict[str, Any], where: str) -> T:
    """Builds a section of a recipe, such as `Protocol`, from a dictionary.

    Args:
        section: the dataclass of the section.
        values: its keys and values; missing keys have their defaults.
        where: the name of the dictionary in messages.

    Raises:
        InputError: a key, type or range in it is wrong; the message names it.
    """
    try:
        return TypeAdapter(section).validate_python(values)
    except ValidationError as error:
        # An unknown key comes first: where it is misspelt, the key it stands for is reported as missing as well.
        first = min(error.errors(), key=lambda problem: problem["type"] != "unexpected_keyword_argument")
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "unexpected_keyword_argument":
            raise InputError(f"{where}: unknown key '{key}'; {_known_keys(section, first['loc'])}") from error
        if first["type"] == "missing":
            raise InputError(f"{where}: the key '{key}' is missing") from error
        message = first["msg"].removeprefix("Value error, ")
        given = "" if isinstance(first["input"], dict | ArgsKwargs) else f", got {first['input']!r}"
        raise InputError(f"{where}: {key + ': ' if key else ''}{message[0].lower()}{message[1:]}{given}") from error


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as nested dictionaries, every default written out; `parse_recipe` reads it."""
    values = dataclasses.asdict(recipe)
    if several := values.pop("several"):
        values["sample"]["ipc"] = list(several)
    return values


def values_of_run(recipe: Recipe) -> dict[str, Any]:
    """The recipe without what decides nothing that a run makes or publishes.

    That is `dm`, `idc`, guides that do not guide, and soft labels that nobody makes or trains on.

    So a set, a model or a run folder of before these keys is still known as made by the same recipe.
    """
    values = {name: value for name, value in recipe_to_dict(recipe).items() if name not in MATCHING}
    guide = recipe.pool.guide
    idle = {*GUIDES, "guide"} if guide == "none" else {*GUIDES} - {guide}
    values["pool"] = {key: value for key, value in values["pool"].items() if key not in idle}
    values["evaluate"] = recipe.evaluate.to_values()
    if recipe.score.soft_labels is None:
        del values["score"]["soft_labels"]
    return values


def completed(values: Any) -> Any:
    """The values of a recipe as they were written, with the defaults of keys that its sections lack.

    A recipe that was written before a key is so the same as one of today that leaves it alone. One that this version
    cannot read stays as it is.
    """
    if not isinstance(values, dict):
        return values
    try:
        known = recipe_to_dict(parse_recipe(values))
    except InputError:
        return values
    return {name: known.get(name, value) for name, value in values.items()}


def recipe_to_yaml(recipe: Recipe) -> str:
    """The recipe as YAML, every default written out."""
    return yaml.safe_dump(recipe_to_dict(recipe), sort_keys=False, allow_unicode=True)


def changed_keys(a: Any, b: Any, prefix: str = "") -> dict[str, list[Any]]:
    """Compares two nested dictionaries.

    Returns:
        Dotted key → `[value in a, value in b]`, for each key whose values differ; None stands for a missing key.
    """
    if not (isinstance(a, dict) and isinstance(b, dict)):
        return {} if a == b else {prefix.rstrip(".") or "recipe": [a, b]}
    changed: dict[str, list[Any]] = {}
    for key in [*a, *(key for key in b if key not in a)]:
        changed |= changed_keys(a.get(key), b.get(key), f"{prefix}{key}.")
    return changed


def _set(values: dict[str, Any], override: str) -> None:
    """Sets one value, given as `section.key=value`, in the nested dictionaries."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"--set takes SECTION.KEY=VALUE, such as finetune.epochs=2, got '{override}'")
    *sections, last = key.split(".")
    for name in sections:
        if values.get(name) is None:  # the section was left out, or is null
            values[name] = {}
        values = values[name]
        if not isinstance(values, dict):
            raise InputError(f"--set {override}: '{name}' is a value, not a section")
    try:
        values[last] = yaml.safe_load(text)
    except UNREADABLE_YAML as error:
        raise InputError(f"--set {override}: '{text}' is not valid YAML; quote it, as in '\"{text}\"'") from error


def _known_keys(kind: Any, location: tuple[int | str, ...]) -> str:
    """A hint for an unknown key at `location` in a section of type `kind`: the keys which that section has."""
    for part in location[:-1]:
        field = next((f for f in dataclasses.fields(kind) if f.name == part), None)
        kind = next((t for t in _members(field.type) if dataclasses.is_dataclass(t)), None) if field else None
        if kind is None:
            return "remove it"
    return f"known are {', '.join(f.name for f in dataclasses.fields(kind) if f.name != 'several')}"


def _members(annotation: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type."""
    return getattr(annotation, "__args__", None) or (annotation,)
